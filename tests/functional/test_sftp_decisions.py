"""The files and objects that sftp.download and sftp.upload plan, skip, refuse and keep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.sftp import listing
from rolerunner.sftp.client import RemoteHandle
from tests import memory_aws as aws
from tests.openssh import ROLE, OpenSsh, explain_missing_sshd, run_sftp_step, start_openssh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolerunner.model import StepResult

pytestmark = [
    pytest.mark.skipif(bool(explain_missing_sshd()), reason=explain_missing_sshd() or "installed"),
    pytest.mark.once,
]
PREFIX = "s3://lake/in/"


@pytest.fixture(scope="module")
def ssh() -> Iterator[OpenSsh]:
    with start_openssh() as server:
        yield server


@pytest.fixture
def folder(ssh: OpenSsh, request: pytest.FixtureRequest) -> Path:
    """An empty folder on the server."""
    path = ssh.files / str(abs(hash(request.node.name)))
    path.mkdir()
    return path


@pytest.fixture
def run(memory_aws: aws.Store, ssh: OpenSsh, tmp_path: Path) -> Callable[..., StepResult]:
    """Runs one step and returns its result."""
    del memory_aws
    return lambda action, **fields: run_sftp_step(tmp_path, action, ssh, **fields)


@pytest.fixture
def preview(memory_aws: aws.Store, ssh: OpenSsh, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Returns what ``plan --objects`` prints of each object: its decision, by its name."""
    del memory_aws

    def preview_step(action: str, **fields: Any) -> dict[str, str]:
        step = {"id": "it", "action": action, "role": ROLE, **ssh.fields(**fields)}
        key = {"type": "string", "secret": True, "required": True}
        spec = {"version": 1, "name": "t", "params": {"key": key}, "steps": [step]}
        (tmp_path / "plan.yaml").write_text(json.dumps(spec))
        lines: list[str] = []
        plan = api.plan(api.load(tmp_path / "plan.yaml", {"key": ssh.key}))
        api.preview_objects(plan, lines.append)
        parsed = [json.loads(line) for line in lines]
        return {
            each["object"].rpartition("/")[2]: each["does"] for each in parsed if "object" in each
        }

    return preview_step


def fill(folder: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def message_of(done: StepResult) -> str:
    assert done.status == "failed"
    assert done.error is not None
    return done.error.message


def test_a_plan_of_downloads_says_what_happens_to_each_file(
    preview: Callable[..., dict[str, str]], memory_aws: aws.Store, folder: Path
) -> None:
    fill(folder, {"same": "one", "longer": "three", "new": "x", "..\\bad": "x"})
    memory_aws.put("lake", "in/same", "two")
    memory_aws.put("lake", "in/longer", "two")
    fields = {"source": f"{folder}/", "target": PREFIX}
    found = preview("sftp.download", **fields, if_exists="skip_same", compare="size")
    assert found == {"same": "skip", "longer": "send", "new": "send", "..%5Cbad": "fail"}
    found = preview("sftp.download", **fields, if_exists="skip", exclude=["..*"])
    assert found == {"same": "skip", "longer": "skip", "new": "send"}


def test_a_plan_of_uploads_says_what_happens_to_each_object(
    preview: Callable[..., dict[str, str]], memory_aws: aws.Store, folder: Path
) -> None:
    fill(folder, {"same": "one", "longer": "three"})
    for key in ("same", "longer", "new", "..\\bad"):
        memory_aws.put("lake", f"in/{key}", "two")
    memory_aws.put("lake", "in/empty/", "")  # made by a console for a folder
    fields = {"source": PREFIX, "target": f"{folder}/"}
    found = preview("sftp.upload", **fields, if_exists="skip_same", compare="size")
    assert found == {"same": "skip", "longer": "send", "new": "send", "..\\bad": "fail"}
    found = preview("sftp.upload", **fields, if_exists="fail", exclude=["..*"])
    assert found == {"same": "fail", "longer": "fail", "new": "send", "..\\bad": "skip"}
    found = preview("sftp.upload", **fields, exclude=["..*"], move=True)
    assert found == {"same": "send", "longer": "send", "new": "send", "..\\bad": "skip"}


def test_what_exists_is_skipped_and_kept_by_a_move(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path
) -> None:
    fill(folder, {"a": "theirs"})
    memory_aws.put("lake", "in/a", "ours")
    memory_aws.put("lake", "in/empty/", "")
    memory_aws.put("lake", "in/b", "new")
    done = run("sftp.upload", source=PREFIX, target=f"{folder}/", if_exists="skip", move=True)
    assert (done.status, done.outputs["count"], done.outputs["skipped"]) == ("succeeded", 1, 1)
    assert ((folder / "a").read_text(), (folder / "b").read_text()) == ("theirs", "new")
    assert sorted(memory_aws.bodies()) == ["s3://lake/in/a", "s3://lake/in/empty/"]


def test_more_small_files_than_sessions_hold(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path
) -> None:
    names = {f"{number:02d}" for number in range(12)}
    fill(folder, dict.fromkeys(names, "x"))
    down = run(
        "sftp.download", source=f"{folder}/", target=PREFIX, sessions=1, keep_times=False, move=True
    )
    assert down.status == "succeeded", down.error
    assert {key for _, key in memory_aws.objects} == {f"in/{name}" for name in names}
    assert "x-amz-meta-mtime" not in memory_aws.objects["lake", "in/00"].headers
    assert list(folder.iterdir()) == []
    up = run("sftp.upload", source=PREFIX, target=f"{folder}/", sessions=1, move=True)
    assert up.status == "succeeded", up.error
    assert {path.name for path in folder.iterdir()} == names
    assert memory_aws.objects == {}


def test_a_download_that_fails_ends_what_is_being_read(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path
) -> None:
    fill(folder, {f"{number:02d}": "x" for number in range(12)})
    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied") if request.method == "PUT" else None
    )
    done = run("sftp.download", source=f"{folder}/", target=PREFIX, sessions=1, max_failures=0)
    assert done.error is not None
    assert "s3:PutObject" in done.error.message + done.error.hint
    assert len(list(folder.iterdir())) == 12


def test_two_objects_that_would_be_one_file_are_refused(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path
) -> None:
    for key in ("one/a", "two/a"):
        memory_aws.put("lake", f"in/{key}", key)
    done = run("sftp.upload", source=PREFIX, target=f"{folder}/", flatten=True)
    assert f"{folder}/a" in message_of(done)
    assert "would both be" in message_of(done)
    items = {"for_each": {"items": ["one", "two"], "max_parallel": 1}, "move": True}
    source = f"{PREFIX}${{{{ item }}}}/"
    done = run("sftp.upload", source=source, target=f"{folder}/", **items)
    assert done.status == "failed"
    assert "would both be" in str(done.items or done.error)
    assert (folder / "a").read_text() == "one/a"
    assert memory_aws.bodies() == {"s3://lake/in/two/a": b"two/a"}


def test_a_name_that_an_expression_makes_empty_fails_alone(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path
) -> None:
    fill(folder, {"a.csv": "one", "b": "two"})
    named = {"name": "${{ object.suffix }}", "max_failures": 1}
    down = run("sftp.download", source=f"{folder}/", target=PREFIX, **named)
    assert (down.status, down.outputs["count"]) == ("warning", 1)
    assert memory_aws.bodies() == {"s3://lake/in/.csv": b"one"}
    memory_aws.objects.clear()
    memory_aws.put("lake", "in/a.csv", "one")
    memory_aws.put("lake", "in/b", "two")
    up = run("sftp.upload", source=PREFIX, target=f"{folder}/up/", **named)
    assert (up.status, up.outputs["count"]) == ("warning", 1)


@pytest.mark.parametrize("on_empty", ["error", "ok"])
def test_nothing_to_upload(
    run: Callable[..., StepResult],
    preview: Callable[..., dict[str, str]],
    folder: Path,
    on_empty: str,
) -> None:
    fields = {"source": PREFIX, "target": f"{folder}/up/", "on_empty": on_empty}
    done = run("sftp.upload", **fields)
    if on_empty == "error":
        assert done.error is not None
        assert done.error.type == "EmptySource"
    else:
        assert (done.status, done.outputs["count"]) == ("succeeded", 0)
        assert preview("sftp.upload", **fields) == {}
    down = {"source": f"{folder}/", "target": PREFIX, "on_empty": "ok"}
    assert preview("sftp.download", **down) == {}
    assert list(folder.iterdir()) == []


def test_listed_objects_get_their_own_times(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path
) -> None:
    times = {"x-amz-meta-mtime": "1700000000"}
    memory_aws.put("lake", "in/a", "one", headers=times)
    done = run("sftp.upload", objects=[f"{PREFIX}a", f"{PREFIX}gone"], target=f"{folder}/")
    assert done.status == "failed"
    assert (folder / "a").read_text() == "one"
    assert int((folder / "a").stat().st_mtime) == 1_700_000_000


@pytest.mark.parametrize("size", [3, 2 << 20])
def test_an_object_that_cannot_be_read_leaves_no_file(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path, size: int
) -> None:
    memory_aws.put("lake", "in/a", b"x" * size)
    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied") if request.method == "GET" and request.key else None
    )
    done = run("sftp.upload", source=PREFIX, target=f"{folder}/")
    assert done.error is not None
    assert done.error.type == "AccessDenied"
    assert list(folder.iterdir()) == []


def test_a_moved_object_is_kept_whose_file_is_gone_or_another(
    run: Callable[..., StepResult],
    memory_aws: aws.Store,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in ("gone", "cut"):
        memory_aws.put("lake", f"in/{key}", "content")
    lstat_or_none = listing.lstat_or_none

    def change_first(client: Any, path: str) -> Any:
        """Changes complete files before they are looked up."""
        if path.endswith("/gone"):
            (folder / "gone").unlink(missing_ok=True)
        elif (folder / "cut").exists():
            (folder / "cut").write_text("c")
        return lstat_or_none(client, path)

    monkeypatch.setattr("rolerunner.actions.sftp_moves.lstat_or_none", change_first)
    done = run("sftp.upload", source=PREFIX, target=f"{folder}/", move=True)
    assert "is not the copy that was made" in message_of(done)
    assert len(memory_aws.objects) == 2


def test_a_moved_file_is_kept_whose_object_is_another(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path
) -> None:
    fill(folder, {"a": "one"})

    def overwrite(request: aws.Request) -> None:
        if request.method == "PUT":
            memory_aws.put("lake", request.key, "longer")

    memory_aws.after = overwrite
    done = run("sftp.download", source=f"{folder}/", target=PREFIX, move=True)
    assert "is not the copy that was made, so the source was kept" in message_of(done)
    assert (folder / "a").read_text() == "one"


def refuse_head(request: aws.Request) -> aws.Outcome:
    return aws.error(403, "AccessDenied") if request.method == "HEAD" else None


def test_the_time_of_an_object_that_may_not_be_read_is_an_error(
    run: Callable[..., StepResult], memory_aws: aws.Store, folder: Path
) -> None:
    fill(folder, {"a": "one"})
    memory_aws.put("lake", "in/a", "two")
    memory_aws.hook = refuse_head
    done = run("sftp.download", source=f"{folder}/", target=PREFIX, if_exists="skip_same")
    assert done.error is not None
    assert done.error.type == "AccessDenied"


def test_another_attempt_of_a_role_that_may_not_read_times_stores_all_files(
    run: Callable[..., StepResult],
    memory_aws: aws.Store,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(folder, {"a": "one", "b": "two"})
    memory_aws.hook = refuse_head
    read = RemoteHandle.read
    changed: list[bool] = []

    def read_and_change_once(opened: Any, start: int, length: int, **more: Any) -> bytes:
        data = read(opened, start, length, **more)
        if data == b"two" and not changed:
            changed.append(True)
            (folder / "b").write_text("newer")
        return data

    monkeypatch.setattr(RemoteHandle, "read", read_and_change_once)
    retry = {"attempts": 2, "delay": 0}
    done = run("sftp.download", source=f"{folder}/", target=PREFIX, retry=retry)
    assert done.status == "succeeded", done.error
    assert (done.attempts, done.outputs["count"], done.outputs["skipped"]) == (2, 2, 0)
    assert memory_aws.bodies() == {f"{PREFIX}a": b"one", f"{PREFIX}b": b"newer"}


def test_a_server_that_refuses_to_look_files_up(memory_aws: aws.Store, tmp_path: Path) -> None:
    memory_aws.put("lake", "in/a", "one")
    with start_openssh(subsystem="internal-sftp -P lstat,stat") as server:
        fields = {"source": PREFIX, "target": f"{server.files}/", "if_exists": "skip_same"}
        done = run_sftp_step(tmp_path, "sftp.upload", server, **fields)
    assert done.status == "failed"
    assert memory_aws.bodies() == {"s3://lake/in/a": b"one"}
