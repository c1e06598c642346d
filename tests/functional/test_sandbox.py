from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import pytest

from rolerunner import sandbox
from rolerunner.errors import SandboxError, SpecError, UsageError
from rolerunner.sandbox import server
from tests.conftest import CONFIGS

BLOG = CONFIGS / "blog_cross_role.sandbox.yaml"


def answers(endpoint: str) -> bool:
    place = urlparse(endpoint)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((place.hostname or "", place.port or 0)) == 0


def test_it_listens_on_loopback_and_leaves_nothing_behind() -> None:
    with sandbox.running(sandbox.load(BLOG)) as running:
        assert running.endpoint.startswith("http://127.0.0.1:")
        assert answers(running.endpoint)
        folder, pid = running.server.folder, running.server.pid
        assert folder.exists()
    assert not answers(running.endpoint)
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_ends_with_its_parent_even_by_kill_9(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from rolerunner import sandbox
with sandbox.running(sandbox.load(Path({str(BLOG)!r}))) as running:
    print(running.endpoint, flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert parent.stdout is not None
    endpoint = parent.stdout.readline().strip()
    assert answers(endpoint)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while answers(endpoint) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(endpoint)


def test_the_users_own_aws_settings_do_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with sandbox.running(sandbox.load(BLOG)) as running:
        assert running.client("sts", "111122223333").get_caller_identity()["Account"] == "111122223333"


def test_without_the_emulator_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv(server.OTHER_PYTHON, raising=False)
    with pytest.raises(SandboxError, match=r"rolerunner\[sandbox\]"):
        server.interpreter()
    monkeypatch.setenv(server.OTHER_PYTHON, "/bin/false")
    with pytest.raises(SandboxError, match="cannot import the emulator"):
        server.interpreter()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version: 1", "version: 1\nregoin: x"), "unknown key 'regoin' (did you mean 'region'?)"),
        (
            ("job_role: arn:aws:iam::111122223333:role/glue-role-test", "job_role: arn:aws:iam::111122223333:role/nobody"),
            "'job_role' is not among the roles",
        ),
        (('account: "444455556666"', "account: 444455556666"), "must be text, not 444455556666 (put it in quotes)"),
        (('gzip: "a file of another account\\n"', "gzip: a, text: b"), "'objects' each have one of text, gzip, file or size"),
        (("Effect: Allow, Action: s3:ListAllMyBuckets", "Efect: Allow, Action: s3:ListAllMyBuckets"), "a policy statement has no 'Efect'"),
    ],
)
def test_a_mistake_in_the_file_has_its_place(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    text = BLOG.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(SpecError) as caught:
        sandbox.load(path)
    assert any(message in str(problem) and problem.mark.line > 1 for problem in caught.value.problems), str(caught.value)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        sandbox.load(Path("nowhere.yaml"))
