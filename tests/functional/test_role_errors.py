"""Errors of roles: expired tokens, an unreachable or slow STS, and secrets in error output."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from rich.console import Console
from rich.traceback import Traceback

from rolerunner import api, sandbox
from rolerunner.errors import RoleRefused
from rolerunner.model import JOB, Role
from rolerunner.sandbox.proxy import Proxy, ProxyHandler
from rolerunner.sessions.credentials import FRESH_SECONDS
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.registry import Sessions
from tests.conftest import CONFIGS, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

pytestmark = pytest.mark.once

ACCOUNT = "111122223333"
FIRST = Role(f"arn:aws:iam::{ACCOUNT}:role/glue-role-test-to-be-assumed", "first")
OTHER = Role("arn:aws:iam::444455556666:role/glue-role-test-to-be-assumed", "other")
SECRETS = re.compile(r"<(?:SecretAccessKey|SessionToken)>([^<]+)<")
EXPIRED = (
    b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
)
EXPIRED_STS = b"<ErrorResponse>" + EXPIRED + b"<RequestId>r-1</RequestId></ErrorResponse>"


class RecordingProxy(Proxy):
    """Hears every secret that is issued, and may answer once for the embedded AWS or be slow."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, _RecordingHandler)
        self.issued: set[str] = set()
        self.expire_once = ""
        self.seen: list[str] = []
        self.slow_for = ""


class _RecordingHandler(ProxyHandler):
    server: RecordingProxy

    def respond(self, body: bytes) -> None:
        text = body.decode("latin-1")
        kind = "sts" if "Action=" in text else "s3"
        self.server.seen.append(f"{kind} {text[:2000] if kind == 'sts' else self.path}")
        if self.server.slow_for and self.server.slow_for in text:
            time.sleep(2)
        if self.server.expire_once == kind and "GetCallerIdentity" not in text:
            self.server.expire_once = ""
            return self.answer(
                403 if kind == "sts" else 400,
                {"Content-Type": "text/xml"},
                EXPIRED_STS if kind == "sts" else EXPIRED,
            )
        status, headers, data = self.forward_request(body)
        self.server.issued.update(SECRETS.findall(data.decode("latin-1")))
        return self.answer(status, headers, data)


@pytest.fixture(scope="module")
def aws() -> Iterator[Sandbox]:
    with sandbox.start_sandbox(
        sandbox.load_world(CONFIGS / "blog_cross_role.sandbox.yaml")
    ) as running:
        yield running


@pytest.fixture
def proxy(aws: Sandbox) -> Iterator[RecordingProxy]:
    with RecordingProxy(aws.endpoint).serve_in_background() as made:
        yield made


def open_sessions(
    aws: Sandbox, proxy: RecordingProxy, ahead: tuple[float, ...] | list[float] = (0.0,)
) -> Sessions:
    identity = identity_of(aws)
    made = JobIdentity(identity.region, keys=identity.keys, endpoints={"": proxy.url})
    return Sessions(made, clock=lambda: time.time() + ahead[0])


def test_an_expired_token_from_s3_is_renewed_and_signed_again_once(
    aws: Sandbox, proxy: RecordingProxy
) -> None:
    ahead = [0.0]
    sessions = open_sessions(aws, proxy, ahead)
    sessions.assume(FIRST)
    ahead[0] = FRESH_SECONDS + 1  # of a session that was made just now S3's word would not be taken
    proxy.expire_once = "s3"
    found = sessions.client(FIRST, "s3").list_objects_v2(Bucket="team-data-111122223333")
    assert found["KeyCount"] == 1
    assert sessions.count_assume_calls(FIRST) == 2


def test_an_expired_source_is_looked_up_again_once(aws: Sandbox, proxy: RecordingProxy) -> None:
    sessions = open_sessions(aws, proxy)
    proxy.expire_once = "sts"
    sessions.assume(FIRST)
    assert sum("Action=AssumeRole" in each for each in proxy.seen) == 2
    assert sessions.session_arn(FIRST).startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/")


def test_an_sts_that_cannot_be_reached_is_said_with_what_to_do(aws: Sandbox) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        identity = identity_of(aws)
        nowhere = JobIdentity(
            identity.region,
            keys=identity.keys,
            endpoints={"": f"http://127.0.0.1:{taken.getsockname()[1]}"},
        )
        with pytest.raises(RoleRefused) as raised:
            Sessions(nowhere).assume(FIRST)
    assert raised.value.type == "StsUnreachable"
    assert "STS interface endpoint" in raised.value.hint


def test_a_slow_sts_leaves_other_roles_alone(aws: Sandbox, proxy: RecordingProxy) -> None:
    sessions = open_sessions(aws, proxy)
    sessions.assume(FIRST)
    client = sessions.client(FIRST, "s3")
    client.list_objects_v2(Bucket="team-data-111122223333")
    proxy.slow_for = "444455556666"
    slow = threading.Thread(target=lambda: sessions.assume(OTHER))
    slow.start()
    time.sleep(0.2)
    started_at = time.monotonic()
    sessions.client(FIRST, "s3").list_objects_v2(Bucket="team-data-111122223333")
    assert time.monotonic() - started_at < 1.5
    assert slow.is_alive(), "it is still waiting"
    slow.join()


def test_a_profile_is_the_jobs_identity(
    aws: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = aws.job_keys
    (tmp_path / "credentials").write_text(
        "[ops]\n"
        f"aws_access_key_id={keys.access_key}\n"
        f"aws_secret_access_key={keys.secret_key}\n"
        f"aws_session_token={keys.token}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    sessions = Sessions(JobIdentity("eu-west-1", profile="ops", endpoints={"": aws.endpoint}))
    assert "assumed-role/glue-role-test/" in sessions.find_caller_arn()


def test_a_refusal_inside_a_function_is_explained_with_the_functions_own_frames(
    aws: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "def read(context):\n"
        "    context.client('s3').get_object(Bucket='partner-data-444455556666', "
        "Key='test_path/some_demo_file.gz')\n"
    )
    (tmp_path / "job.yaml").write_text(
        "version: 1\n"
        "name: t\n"
        "steps:\n"
        f"  - {{id: a, action: python.call, role: '{FIRST.arn}', function: 'mine:read'}}\n"
    )
    (step,) = api.run(api.load(tmp_path / "job.yaml"), identity=identity_of(aws)).steps
    sys.modules.pop("mine", None)
    assert step.error is not None
    assert step.error.type == "AccessDenied"
    assert '"Action": "s3:GetObject"' in step.error.hint
    assert "mine.py" in step.error.hint
    assert "rolerunner/actions" not in step.error.hint


def test_a_hub_that_is_refused_is_told_once_through_the_whole_command(tmp_path: Path) -> None:
    text = (CONFIGS / "partner_exchange.sandbox.yaml").read_text()
    (tmp_path / "w.yaml").write_text(text)
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nroles:\n  hub: arn:aws:iam::222233334444:role/landing-reader\n"
        "  spoke: {arn: 'arn:aws:iam::444455556666:role/publisher', via: hub}\n"
        "steps:\n  - {id: a, action: s3.list, role: spoke, source: s3://publish/}\n"
    )
    command = [sys.executable, "-m", "rolerunner", "run", "job.yaml", "--sandbox", "w.yaml"]
    completed = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert completed.returncode == 3
    assert "reached through 'hub'" in completed.stderr
    assert completed.stderr.count("1. the caller's own policy needs:") == 1


# secrets


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("config", ["blog_cross_role", "partner_exchange"])
def test_no_secret_that_was_issued_is_in_any_output(config: str, form: str, tmp_path: Path) -> None:
    with (
        sandbox.start_sandbox(sandbox.load_world(CONFIGS / f"{config}.sandbox.yaml")) as running,
        RecordingProxy(running.endpoint).serve_in_background() as proxy,
    ):
        keys = running.job_keys
        environment = {
            **os.environ,
            "TMPDIR": str(tmp_path),
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_REGION": running.region,
        }
        folder = "target" if config == "blog_cross_role" else "workdir"
        arguments = [
            "run",
            str(CONFIGS / f"{config}.yaml"),
            "-p",
            f"{folder}={tmp_path}/out/",
            "--log-format",
            form,
            "--log-level",
            "debug",
        ]
        command = [sys.executable, "-m", "rolerunner", *arguments, "--result", "result.json"]
        completed = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert completed.returncode == 0, completed.stderr
    assert len(proxy.issued) >= 4, "two roles, a key and a token each"
    files = "".join(path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file())
    for secret in {*proxy.issued, keys.secret_key, keys.token}:
        assert secret not in completed.stdout + completed.stderr + files


def catch_refusal(client: Any) -> BaseException:
    """Returns an error whose traceback reaches the signed request, without a test's variables."""
    try:
        client.get_object(Bucket="partner-data-444455556666", Key="none")
    except Exception as error:
        return error
    raise AssertionError("it was not refused")


def test_no_secret_is_in_a_pickle_a_traceback_or_the_environment(
    aws: Sandbox, proxy: RecordingProxy
) -> None:
    sessions = open_sessions(aws, proxy)
    sessions.assume(FIRST)
    session, client = sessions.session(FIRST), sessions.client(FIRST, "s3")
    secrets = {*proxy.issued, aws.job_keys.secret_key, aws.job_keys.token}
    assert len(secrets) >= 4
    for value in (
        sessions,
        session,
        client,
        session.get_credentials(),
        JOB,
        FIRST,
        identity_of(aws),
    ):
        with contextlib.suppress(Exception):
            pickled = cloudpickle.dumps(value)
            assert not any(secret.encode() in pickled for secret in secrets), value
    error = catch_refusal(client)
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=500, file=nowhere)
        console.print(
            Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True)
        )
        shown += console.export_text()
    assert not any(secret in shown for secret in secrets)
    assert not any(secret in value for secret in secrets for value in os.environ.values())
    assert "redacted" in repr(session.get_credentials())
