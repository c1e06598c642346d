"""sftp.download and sftp.upload in specs: what validate refuses, permissions, plans, secrets."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from tests import exact_roles
from tests.conftest import identity_of
from tests.exact_roles import ROLES, open_job
from tests.in_process import create_command
from tests.openssh import OpenSsh, explain_missing_sshd, run_sftp_step, start_openssh
from tests.password_server import start_password_server

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolerunner import sandbox
    from tests.memory_aws import Store

    Command = Callable[..., subprocess.CompletedProcess[str]]

WORLD = exact_roles.WORLD
needs_sshd = pytest.mark.skipif(
    bool(explain_missing_sshd()), reason=explain_missing_sshd() or "installed"
)
PRINT = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
PASSWORD = "Blue-kettle+on the/shelf"
PARAMS = {
    "pass": {"type": "string", "secret": True, "required": True},
    "shown": {"type": "string", "default": "x"},
}
DOWN: dict[str, Any] = {
    "action": "sftp.download",
    "host": "sftp.example.com",
    "user": "acme",
    "password": "${{ params.pass }}",
    "host_key": PRINT,
    "source": "/out/",
    "target": "s3://landing/in/",
}
UP: dict[str, Any] = {
    **DOWN, "action": "sftp.upload", "source": "s3://landing/in/", "target": "/in/"
}  # fmt: skip


@pytest.fixture(scope="module")
def ssh() -> Iterator[OpenSsh]:
    with start_openssh() as server:
        yield server


def write_spec(folder: Path, step: dict[str, Any], **more: Any) -> Path:
    path = folder / "job.yaml"
    fields = {name: value for name, value in step.items() if value is not None}
    spec = {
        "version": 1, "name": "t", "params": PARAMS, "roles": ROLES,
        "steps": [{"id": "it", "role": "reader", **fields}], **more,
    }  # fmt: skip
    path.write_text(json.dumps(spec, indent=1))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "hunter22"}, "'password' is a secret, which cannot be in a spec"),
        ({"password": "${{ params.shown }}"}, "'password' must be a secret param and nothing else"),
        ({"password": "x${{ params.pass }}"}, "'password' must be a secret param"),
        ({"private_key": "-----BEGIN KEY"}, "'private_key' is a secret"),
        ({"passphrase": "${{ params.pass }}"}, "'passphrase' goes with 'private_key'"),
        ({"password": None}, "'password' or 'private_key' is required"),
        ({"host_key": None}, "either 'host_key' or 'known_hosts' is required"),
        ({"known_hosts": "/etc/ssh/known"}, "either 'host_key' or 'known_hosts' is required"),
        ({"host_key": "ssh-ed25519 AAAA"}, "is cut short or damaged"),
        ({"host_key": "SHA1:x"}, "must be a public key"),
        ({"host_key": []}, "must name at least one key"),
        ({"host": "sftp://example.com"}, "must be the name or address of a host"),
        ({"host": "acme@example.com"}, "must be the name or address of a host"),
        ({"host": "${{ params.pass }}"}, "secret"),
        ({"user": "${{ params.pass }}"}, "secret"),
        ({"port": 0}, "'port' must be at least 1"),
        ({"source": "sftp://h/out/"}, "must be a path on the server"),
        ({"source": "~/out/"}, "must not begin with '~'"),
        ({"move": True, "symlinks": "follow"}, "'move' cannot be combined"),
        ({"if_exists": "skip_same", "keep_times": False}, "set 'compare: size'"),
        ({"move": True, "if_exists": "skip_same", "compare": "size"}, "proves nothing"),
        ({"metadata": {"mtime": "1"}}, "'keep_times' sets the metadata 'mtime'"),
        ({"sessions": 17}, "'sessions' must be at most 16"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        api.load(write_spec(tmp_path, {**DOWN, **change}), complete=False)
    assert message in str(caught.value)
    assert "hunter22" not in repr([vars(each) for each in caught.value.problems])


def test_an_upload_has_mistakes_of_its_own(tmp_path: Path) -> None:
    for change, message in (
        ({"target": "/in"}, "'target' must end with '/'"),
        ({"source": None}, "takes either 'source' or 'objects'"),
        ({"move": True, "if_exists": "skip_same", "compare": "size"}, "proves nothing"),
        ({"if_exists": "skip_same", "keep_times": False}, "set 'compare: size'"),
    ):
        with pytest.raises(SpecError, match=message):
            api.load(write_spec(tmp_path, {**UP, **change}), complete=False)


def test_a_missing_package_is_told_before_the_run(
    memory_aws: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rolerunner = create_command(monkeypatch, capsys)
    monkeypatch.setitem(sys.modules, "paramiko", None)
    path = write_spec(tmp_path, {**DOWN, "role": None})
    remedy = "step 'it' needs paramiko, which is not installed here; install with: pip install"
    checked = rolerunner("validate", path)
    assert (checked.returncode, remedy in checked.stderr) == (0, True)
    planned = rolerunner("plan", path, "-p", "pass=x")
    assert (planned.returncode, remedy in planned.stderr) == (0, True)
    result = tmp_path / "result.json"
    run = rolerunner("run", path, "-p", "pass=x", "--result", result)
    assert run.returncode == 2
    assert remedy in run.stderr
    assert remedy in json.loads(result.read_text())["error"]["message"]
    assert not memory_aws.requests


def test_a_plan_has_no_secret_and_needs_no_value(tmp_path: Path) -> None:
    path = write_spec(tmp_path, {**DOWN, "if_exists": "skip_same", "host": "${{ params.shown }}"})
    plan = api.plan(api.load(path, {"pass": PASSWORD}))
    shown = json.dumps(plan.as_json() if hasattr(plan, "as_json") else repr(plan))
    assert PASSWORD not in shown
    (step,) = api.plan(api.load(path, complete=False)).steps
    needed = [(each.action, each.resource) for each in step.permissions["role"]]
    assert needed == [
        ("s3:PutObject", "arn:aws:s3:::landing/in/*"),
        ("s3:AbortMultipartUpload", "arn:aws:s3:::landing/in/*"),
        ("s3:ListBucket", "arn:aws:s3:::landing"),
        ("s3:GetObject", "arn:aws:s3:::landing/in/*"),
    ]
    path = write_spec(tmp_path, {**UP, "move": True})
    (step,) = api.plan(api.load(path, complete=False)).steps
    assert {each.action for each in step.permissions["role"]} == {
        "s3:ListBucket", "s3:GetObject", "s3:DeleteObject",
    }  # fmt: skip


def test_one_file_whose_name_a_param_has_may_be_an_object_or_below_a_prefix(
    tmp_path: Path,
) -> None:
    change = {"source": "/out/${{ params.shown }}", "target": "s3://landing/a"}
    path = write_spec(tmp_path, {**DOWN, **change})
    (step,) = api.plan(api.load(path, complete=False)).steps
    resources = {each.resource for each in step.permissions["role"]}
    assert "arn:aws:s3:::landing/a" in resources


@needs_sshd
@pytest.mark.parametrize("engine", ["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def test_declared_permissions_suffice_and_each_is_needed(
    engine: str, aws: sandbox.Sandbox, ssh: OpenSsh, tmp_path: Path
) -> None:
    job = open_job(aws, tmp_path, engine)
    (ssh.files / "a.csv").write_text("one")
    steps = {
        "down": {**DOWN, "source": f"{ssh.files}/", "move": True},
        "up": {**UP, "target": f"{ssh.folder}/new/", "move": True},
    }
    never = {"s3:AbortMultipartUpload", "s3:GetObjectVersion", "s3:DeleteObjectVersion"}
    for name, step in steps.items():
        fields = {**step, **ssh.fields(private_key="${{ params.pass }}"), "password": None}
        loaded = api.load(write_spec(tmp_path, fields, engine=engine), {"pass": ssh.key})
        plan = api.plan(loaded)
        for role, uses in plan.uses.items():
            for without in [None, *uses]:
                if without is not None and without.permission.action in never:
                    continue
                (ssh.files / "a.csv").write_text("one")
                if name == "up":
                    job.put("s3://landing/in/a.csv", b"one")
                kept = tuple(use for use in uses if use is not without)
                job.grant(replace(plan, uses={role: kept}))
                result = api.run(loaded, identity=identity_of(aws)).steps[0]
                if without is None:
                    assert result.status == "succeeded", result.error
                    assert job.keys("landing") == ([] if name == "up" else ["in/a.csv"])
                elif name == "up" or without.permission.action != "s3:ListBucket":
                    assert result.status == "failed", without
    assert (ssh.folder / "new/a.csv").read_text() == "one"


@needs_sshd
def test_plan_live_and_its_objects(memory_aws: Store, ssh: OpenSsh, tmp_path: Path) -> None:
    folder = ssh.files / "live"
    folder.mkdir()
    (folder / "a").write_text("one")
    (folder / "b").write_text("two")
    memory_aws.put("landing", "in/c", "three")
    down = {**DOWN, "source": f"{folder}/", "if_exists": "skip", "exclude": ["b"]}
    up = {**UP, "target": f"{folder}/", "if_exists": "skip_same"}
    for step, bytes_of, lines in (
        (down, 3, [("send", "s3://landing/in/a")]),
        (up, 5, [("send", f"sftp://127.0.0.1:{ssh.port}{folder}/c")]),
    ):
        fields = {**step, **ssh.fields(private_key="${{ params.pass }}"), "password": None}
        plan = api.plan(api.load(write_spec(tmp_path, fields), {"pass": ssh.key}))
        assert api.survey(plan)["it"] == {"count": 1, "bytes": bytes_of}
        found: list[str] = []
        api.preview_objects(plan, found.append)
        parsed = [json.loads(each) for each in found]
        assert [
            (each["does"], each["object"]) for each in parsed if each["does"] == "send"
        ] == lines


@needs_sshd
def test_two_items_that_would_be_one_object_are_refused(
    memory_aws: Store, ssh: OpenSsh, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (ssh.files / name).mkdir()
        (ssh.files / name / "a").write_text(name)
    items: dict[str, Any] = {"for_each": {"items": ["one", "two"], "max_parallel": 1}}
    fields = {"source": f"{ssh.files}/${{{{ item }}}}/", "target": "s3://landing/in/", **items}
    fields["move"] = True
    done = run_sftp_step(tmp_path, "sftp.download", ssh, **fields)
    assert done.status == "failed"
    assert done.error is not None
    assert "would both be s3://landing/in/a" in str(done.items or done.error.message)
    assert memory_aws.objects["landing", "in/a"].body == b"one"


@needs_sshd
def test_known_hosts_are_read_and_a_missing_key_is_told(
    memory_aws: Store, ssh: OpenSsh, tmp_path: Path
) -> None:
    (ssh.files / "known").mkdir()
    (ssh.files / "known/a").write_text("x")
    known = tmp_path / "known_hosts"
    fields = {"source": f"{ssh.files}/known/", "target": "s3://landing/in/", "host_key": None}
    known.write_text(f"[127.0.0.1]:{ssh.port} {ssh.public_host_key()}\n")
    done = run_sftp_step(tmp_path, "sftp.download", ssh, **fields, known_hosts=str(known))
    assert done.status == "succeeded", done.error
    known.write_text(f"127.0.0.1 {ssh.public_host_key()}\n")
    done = run_sftp_step(tmp_path, "sftp.download", ssh, **fields, known_hosts=str(known))
    assert done.error is not None
    assert f"has no key of [127.0.0.1]:{ssh.port}" in done.error.message
    assert "ssh-keyscan" in done.error.hint
    del memory_aws


def test_no_connection_leaves_the_sandbox(tmp_path: Path, rolerunner: Command) -> None:
    path = write_spec(tmp_path, DOWN)
    done = rolerunner(
        "run", str(path), "--sandbox", "-p", f"pass={PASSWORD}", "--log-format", "json"
    )
    assert done.returncode == 4
    assert "in the sandbox no connection is made to sftp.example.com" in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_a_refused_password_is_in_no_output(
    memory_aws: Store, tmp_path: Path, rolerunner: Command
) -> None:
    del memory_aws
    result = tmp_path / "result.json"
    with start_password_server("another") as server:
        fields = {"host": "127.0.0.1", "port": server.port, "host_key": server.line}
        path = write_spec(tmp_path, {**DOWN, **fields})
        done = rolerunner(
            "run", str(path), "-p", f"pass={PASSWORD}", "--result", str(result),
            "--log-level", "debug", "--log-format", "json",
            "--report", str(tmp_path / "report.html"),
        )  # fmt: skip
    assert done.returncode == 4
    texts = [done.stdout, done.stderr, result.read_text(), (tmp_path / "report.html").read_text()]
    assert "refused the user 'acme' with its password" in texts[2]
    assert not [each for each in texts if PASSWORD in each or "Blue-kettle" in each]
