"""Fixtures of all tests: isolation from the machine's AWS identity, and the embedded AWS."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from rolerunner import sandbox
from rolerunner.common import gc_tuning
from rolerunner.redaction import redact, secrets
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from tests import memory_aws as memory_aws_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# a machine with other work to do takes longer now and then
hypothesis.settings.register_profile("rolerunner", deadline=None)
hypothesis.settings.load_profile("rolerunner")

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"


STARTS_PROCESSES = {"rolerunner", "memory_aws"}
"""Fixtures whose tests start the command, which takes half a second each time."""


LONG_MODULES = {
    "test_access_denied",
    "test_action_faults",
    "test_benchmarks",
    "test_catalog_and_queries",
    "test_check_command",
    "test_cleanup",
    "test_completion",
    "test_compressed_transfers",
    "test_concat",
    "test_conditional_writes",
    "test_copy_metadata",
    "test_copy_mirror",
    "test_copy_targets",
    "test_credential_redaction",
    "test_delete_extra",
    "test_deletions",
    "test_deploy",
    "test_distribute_auto",
    "test_distributed",
    "test_endless_responses",
    "test_exit_and_result",
    "test_first_steps",
    "test_foreign_responses",
    "test_forked_workers",
    "test_glue_notifications",
    "test_glue_sandbox",
    "test_glue_triggers",
    "test_groups",
    "test_hostile_servers",
    "test_iam_glue",
    "test_init_and_graph",
    "test_integrations",
    "test_item_targets",
    "test_kept_times",
    "test_least_privilege",
    "test_local_disk",
    "test_locks",
    "test_manual_examples",
    "test_network_faults",
    "test_notification_cases",
    "test_notification_rules",
    "test_object_headers",
    "test_object_lists",
    "test_object_names",
    "test_output_streams",
    "test_packing",
    "test_past_objects",
    "test_plugins",
    "test_policies_in_moto",
    "test_presign",
    "test_process_limits",
    "test_progress",
    "test_pytest_plugin",
    "test_rclone_server",
    "test_repeated_runs",
    "test_restore",
    "test_resume",
    "test_resume_checks",
    "test_resumed_copies",
    "test_role_errors",
    "test_role_session_memory",
    "test_s3_compatible_servers",
    "test_sandbox_command",
    "test_sandbox_from_spec",
    "test_secret_leaks",
    "test_secret_params",
    "test_secret_sources",
    "test_session_policies",
    "test_sftp_decisions",
    "test_sftp_odd_servers",
    "test_sftp_specs",
    "test_sftp_transfers",
    "test_signals",
    "test_size_limits",
    "test_spec_testing",
    "test_state_documents",
    "test_storage_verification",
    "test_sts_responses",
    "test_tags",
    "test_telemetry",
    "test_transfer_cancellation",
    "test_unpacking",
    "test_upload_sources",
    "test_verify",
}
"""Functional modules that take the longest, in seconds of all their tests."""
BOTH_ENGINES = {
    "test_access_denied",
    "test_conditional_writes",
    "test_deletions",
    "test_every_option",
    "test_s3_actions",
}
"""Functional modules whose half of the boto3 engine `.ci/run` runs; releases run all of them."""
SAMPLED_MODULES = {
    "test_access_denied",
    "test_action_faults",
    "test_catalog_and_queries",
    "test_coming_from",
    "test_compressed_transfers",
    "test_conditional_writes",
    "test_copy_mirror",
    "test_copy_targets",
    "test_delete_extra",
    "test_deletions",
    "test_distributed",
    "test_every_option",
    "test_exit_and_result",
    "test_first_steps",
    "test_foreign_responses",
    "test_groups",
    "test_hostile_servers",
    "test_least_privilege",
    "test_locks",
    "test_object_names",
    "test_output_streams",
    "test_past_objects",
    "test_peers",
    "test_resume_checks",
    "test_s3_actions",
    "test_secret_params",
    "test_secret_sources",
    "test_session_policies",
    "test_sftp_odd_servers",
    "test_sftp_transfers",
    "test_size_limits",
    "test_state_documents",
    "test_sts_responses",
    "test_transfer_cancellation",
    "test_unpacking",
    "test_upload_sources",
}
"""Modules of many cases alike, of which `.ci/run` runs some; releases run all of them."""
SAMPLE = 4
"""One case of this many is in the sample, besides the first of each test."""


FIRST_MODULES = (
    "test_spark_cluster",
    "test_resume",
    "test_boto_versions",
    "test_manual_examples",
    "test_spark_roles",
    "test_delete_extra",
    "test_spec_testing",
    "test_s3_actions",
    "test_least_privilege",
    "test_role_sessions",
    "test_conditional_writes",
    "test_every_option",
    "test_locks",
    "test_glue_sandbox",
    "test_sandbox",
    "test_first_steps",
    "test_forked_workers",
    "test_glue_local",
    "test_tutorial",
    "test_rehearse",
    "test_benchmarks",
    "test_catalog_and_queries",
    "test_example_configs",
    "test_session_policies",
    "test_copy_targets",
    "test_verify",
    "test_deploy",
    "test_sandboxed_run",
)
"""Modules that run first, longest first, so that no worker is left with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest modules first, and marks what ``make test`` or ``.ci/run`` leaves out.

    ``make test`` would otherwise take more than five minutes: it leaves to CI the longest
    modules, and the boto3 engine's half of the tests that start the command.
    """
    order = {name: place for place, name in enumerate(FIRST_MODULES)}
    tests = set()
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
    for item in items:
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        starts = not STARTS_PROCESSES.isdisjoint(getattr(item, "fixturenames", ()))
        is_of_boto3 = "boto3" in [value for value in values if isinstance(value, str)]
        is_functional = item.path.parent.name == "functional"
        if starts and is_of_boto3:
            item.add_marker(pytest.mark.slow if is_functional else pytest.mark.long)
        if is_functional and is_of_boto3 and item.path.stem not in BOTH_ENGINES:
            item.add_marker(pytest.mark.release)
        if is_functional and item.path.stem in LONG_MODULES:
            item.add_marker(pytest.mark.long)
        if not item.get_closest_marker("release"):
            test = item.nodeid.partition("[")[0]
            if test in tests and zlib.crc32(item.nodeid.encode()) % SAMPLE:
                item.add_marker(pytest.mark.alike)
                if item.path.stem in SAMPLED_MODULES:
                    item.add_marker(pytest.mark.release)
            tests.add(test)


@pytest.fixture(scope="session", autouse=True)
def _isolate_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Puts TMPDIR, where runs keep the lists of their results, below pytest's own folders."""
    folder = str(tmp_path_factory.mktemp("TMPDIR"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(autouse=True)
def _hide_aws_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the credentials, region and endpoints of the user who runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.path.join(os.sep, "no", "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.path.join(os.sep, "no", "config"))


@pytest.fixture(autouse=True)
def _restore_garbage_collector() -> Iterator[None]:
    """Undoes what a run sets of the garbage collector, which would hold memory in later tests."""
    is_enabled, thresholds = gc.isenabled(), gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    if is_enabled:
        gc.enable()
    if gc_tuning._ends_with_run:  # by a command that ran in this process
        gc_tuning._ends_with_run = False
        gc.unfreeze()


@pytest.fixture(autouse=True)
def _forget_modules(request: pytest.FixtureRequest) -> Iterator[None]:
    """Forgets modules imported from the test's folder: others have modules of the same name."""
    if "tmp_path" not in request.fixturenames:
        yield  # a folder costs milliseconds, and most unit tests need none
        return
    folder = f"{request.getfixturevalue('tmp_path')}{os.sep}"
    before = frozenset(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(folder):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _restore_signal_handlers() -> Iterator[None]:
    """Restores what a command in the process of the tests does at Ctrl-C and SIGTERM."""
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Restores the root logger, which a run takes over."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _restore_hooks() -> Iterator[None]:
    """Restores how Python prints exceptions and warnings, which a command changes."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks


@pytest.fixture(autouse=True)
def _forget_secrets() -> Iterator[None]:
    """Forgets registered secrets, which would be redacted for an hour."""
    yield
    secrets.forget_secret_values()
    redact.forget_unused_secrets()


@pytest.fixture
def rolerunner(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command in its own process, with TMPDIR set to the test's folder."""

    def run_command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "rolerunner", *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(tmp_path), **environment},
        )

    return run_command


@pytest.fixture(scope="module")
def aws(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sandbox.Sandbox]:
    """The embedded AWS with the ``WORLD`` of the test's module."""
    path = tmp_path_factory.mktemp("world") / "world.yaml"
    path.write_text(request.module.WORLD)
    with sandbox.start_sandbox(sandbox.load_world(path)) as running:
        yield running


def identity_of(running: sandbox.Sandbox) -> JobIdentity:
    """Returns the identity of the job's role in a running sandbox."""
    keys = running.job_keys
    return JobIdentity(
        running.region,
        keys=Keys(keys.access_key, keys.secret_key, keys.token),
        endpoints={"": running.endpoint},
    )


@pytest.fixture
def memory_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[memory_aws_module.Store]:
    """S3 and STS in memory, which the test's processes and clients find by the environment."""
    with memory_aws_module.start_memory_aws() as store:
        for name, value in store.environment().items():
            monkeypatch.setenv(name, value)
        yield store
