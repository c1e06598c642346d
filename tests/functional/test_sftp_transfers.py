"""sftp.download and sftp.upload against OpenSSH: contents, names, links, moves, what is skipped."""

from __future__ import annotations

import base64
import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.sftp.client import RemoteHandle
from tests.memory_aws import error
from tests.openssh import (
    CuttingProxy,
    OpenSsh,
    explain_missing_sshd,
    run_sftp_step,
    start_openssh,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolerunner.model import StepResult
    from tests.memory_aws import Store

pytestmark = [
    pytest.mark.skipif(bool(explain_missing_sshd()), reason=explain_missing_sshd() or "installed"),
    pytest.mark.once,
]
MIB = 1 << 20
CUSTOMER_KEY = base64.b64encode(bytes(range(32))).decode()
CONTENT = {
    "a.csv": b"one,two",
    "empty": b"",
    "sub/\u00fcber \u4e2d.txt": b"unicode",
    "sub/two words": b"space",
    "sub/deep/line\nbreak": b"newline",
    'quote\'s "$HOME" *.txt': b"shell",
    "whole": b"x" * (32_768 * 3 + 5),
    "large": os.urandom(5 * MIB + 17),
}


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
def run(memory_aws: Store, ssh: OpenSsh, tmp_path: Path) -> Callable[..., StepResult]:
    """Runs one step and returns its result."""

    def run_step(action: str, **fields: Any) -> StepResult:
        return run_sftp_step(tmp_path, action, ssh, **fields)

    return run_step


def fill(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def read_all(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stored(store: Store, prefix: str = "s3://lake/in/") -> dict[str, bytes]:
    bodies = store.bodies().items()
    return {uri.removeprefix(prefix): body for uri, body in bodies if uri.startswith(prefix)}


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_files_go_to_s3_and_back(
    engine: str, run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder / "out", CONTENT)
    os.utime(folder / "out/a.csv", (1_700_000_000, 1_700_000_000))
    done = run("sftp.download", source=f"{folder}/out/", target="s3://lake/in/", engine=engine)
    assert done.status == "succeeded", done.error
    assert stored(memory_aws) == CONTENT
    assert done.outputs["count"] == len(CONTENT)
    assert done.outputs["bytes"] == sum(map(len, CONTENT.values()))
    entry = memory_aws.objects["lake", "in/a.csv"]
    assert entry.headers["x-amz-meta-mtime"] == "1700000000"
    assert entry.headers["content-type"] == "text/csv"
    done = run("sftp.upload", source="s3://lake/in/", target=f"{folder}/new/back/", engine=engine)
    assert done.status == "succeeded", done.error
    assert read_all(folder / "new/back") == CONTENT
    assert done.outputs["files"].startswith("sftp://127.0.0.1:")
    modified = int(memory_aws.objects["lake", "in/a.csv"].modified.timestamp())
    assert int((folder / "new/back/a.csv").stat().st_mtime) == modified


def test_one_file_and_one_object_by_their_names(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder, {"a.csv": b"one"})
    run("sftp.download", source=f"{folder}/a.csv", target="s3://lake/in/b.csv")
    run("sftp.download", source=f"{folder}/a.csv", target="s3://lake/in/")
    assert stored(memory_aws) == {"b.csv": b"one", "a.csv": b"one"}
    run("sftp.upload", source="s3://lake/in/b.csv", target=f"{folder}/c.csv")
    run("sftp.upload", source="s3://lake/in/b.csv", target=f"{folder}/")
    assert read_all(folder) == {"a.csv": b"one", "b.csv": b"one", "c.csv": b"one"}


def test_filters_names_and_limits(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder, {"a.csv": b"one", "b.tmp": b"two", "old/c.csv": b"three", "old/d.csv": b""})
    done = run(
        "sftp.download", source=f"{folder}/", target="s3://lake/in/", include=["**/*.csv"],
        exclude=["a*"], min_size=1, name="${{ object.stem }}-new${{ object.suffix }}",
    )  # fmt: skip
    assert done.status == "succeeded", done.error
    assert stored(memory_aws) == {"c-new.csv": b"three"}
    many = run("sftp.download", source=f"{folder}/", target="s3://lake/x/", max_files=3)
    assert many.error is not None
    assert "more than 3 files" in many.error.message
    twice = run(
        "sftp.download",
        source=f"{folder}/",
        target="s3://lake/x/",
        name="x${{ object.suffix }}",
        include=["**/*.csv"],
    )
    assert twice.error is not None
    assert "would both be s3://lake/x/x.csv" in twice.error.message
    assert not stored(memory_aws, "s3://lake/x/")
    flat = run("sftp.upload", source="s3://lake/in/", target=f"{folder}/up/", flatten=True)
    assert flat.status == "succeeded", flat.error
    assert read_all(folder / "up") == {"c-new.csv": b"three"}
    before = read_all(folder)
    for action, source, target in (
        ("sftp.download", f"{folder}/", "s3://lake/x/"),
        ("sftp.upload", "s3://lake/in/", f"{folder}/up/large/"),
    ):
        large = run(action, source=source, target=target, max_transfer="4B")
        assert large.error is not None
        assert large.error.type == "MaxTransfer"
    assert not stored(memory_aws, "s3://lake/x/")
    assert read_all(folder) == before
    none = run("sftp.download", source=f"{folder}/", target="s3://lake/x/", include=["no"])
    assert none.error is not None
    assert none.error.type == "EmptySource"
    fine = {"include": ["no"], "on_empty": "ok"}
    assert run("sftp.download", source=f"{folder}/", target="s3://lake/x/", **fine).outputs[
        "count"
    ] == 0  # fmt: skip


def test_links_are_followed_only_on_request_and_pipes_never_read(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder, {"real/a": b"one", "secret/s": b"secret"})
    os.symlink("../secret", folder / "real/folder")
    os.symlink("../secret/s", folder / "real/file")
    os.mkfifo(folder / "real/pipe")
    done = run("sftp.download", source=f"{folder}/real/", target="s3://lake/in/")
    assert done.status == "succeeded", done.error
    assert stored(memory_aws) == {"a": b"one"}
    fields = {"source": f"{folder}/real/", "target": "s3://lake/in/"}
    refused = run("sftp.download", **fields, symlinks="error")
    assert refused.error is not None
    assert "is a symbolic link" in refused.error.message
    followed = run("sftp.download", **fields, symlinks="follow")
    assert followed.status == "succeeded", followed.error
    assert stored(memory_aws) == {"a": b"one", "folder/s": b"secret", "file": b"secret"}
    os.symlink("..", folder / "real/up")
    loop = run("sftp.download", **fields, symlinks="follow")
    assert loop.error is not None
    assert loop.error.type == "LinkLoop"
    for name, words in (("pipe", "named pipe"), ("file", "symbolic link")):
        single = run("sftp.download", source=f"{folder}/real/{name}", target="s3://lake/in/")
        assert single.error is not None
        assert words in single.error.message


def test_what_is_the_same_is_skipped(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder, {"a": b"one", "b": b"two"})
    down: dict[str, Any] = {
        "source": f"{folder}/", "target": "s3://lake/in/", "if_exists": "skip_same"
    }  # fmt: skip
    assert run("sftp.download", **down).outputs["count"] == 2
    assert run("sftp.download", **down).outputs["skipped"] == 2
    os.utime(folder / "a", (1, 1))
    again = run("sftp.download", **down)
    assert (again.outputs["count"], again.outputs["skipped"]) == (1, 1)
    refused = run("sftp.download", **{**down, "if_exists": "fail"})
    assert refused.status == "failed"
    assert run("sftp.download", **{**down, "if_exists": "skip"}).outputs["skipped"] == 2
    up: dict[str, Any] = {
        "source": "s3://lake/in/", "target": f"{folder}/up/", "if_exists": "skip_same"
    }  # fmt: skip
    assert run("sftp.upload", **up).outputs["count"] == 2
    assert run("sftp.upload", **up).outputs["skipped"] == 2
    memory_aws.put("lake", "in/a", "other")
    again = run("sftp.upload", **up)
    assert (again.outputs["count"], again.outputs["skipped"]) == (1, 1)
    refused = run("sftp.upload", **{**up, "if_exists": "fail"})
    assert refused.error is not None
    assert "already exists" in refused.error.message
    assert read_all(folder / "up") == {"a": b"other", "b": b"two"}


def test_a_move_deletes_what_was_copied_and_nothing_else(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder, {"a": b"one", "b": b"two", "keep.txt": b"kept"})
    rewritten = folder / "b"

    def rewrite(request: Any) -> None:
        if request.method == "PUT" and request.key == "in/b":
            rewritten.write_bytes(b"newer")

    memory_aws.after = rewrite
    fields = {"source": f"{folder}/", "target": "s3://lake/in/", "exclude": ["*.txt"]}
    done = run("sftp.download", **fields, move=True)
    assert done.status == "failed"
    assert done.error is not None
    assert "the source was kept" in done.error.message
    assert read_all(folder) == {"b": b"newer", "keep.txt": b"kept"}
    memory_aws.after = None
    memory_aws.put("lake", "in/c", "three")

    def change(request: Any) -> None:
        if request.method == "GET" and request.key == "in/a":
            memory_aws.put("lake", "in/a", "changed")

    memory_aws.after = change
    back = run("sftp.upload", source="s3://lake/in/", target=f"{folder}/up/", move=True)
    assert back.status == "failed"
    assert read_all(folder / "up") == {"a": b"one", "b": b"two", "c": b"three"}
    assert stored(memory_aws) == {"a": b"changed"}


def test_a_move_verifies_the_copy_with_its_customer_key(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder, {"a": b"one"})
    memory_aws.hook = lambda request: (
        error(400, "InvalidRequest")
        if request.method == "HEAD"
        and "x-amz-server-side-encryption-customer-key" not in request.headers
        else None
    )
    moved = run(
        "sftp.download",
        source=f"{folder}/",
        target="s3://lake/in/",
        move=True,
        encryption={"type": "SSE-C", "customer_key": CUSTOMER_KEY},
    )
    assert moved.status == "succeeded", moved.error
    assert (read_all(folder), stored(memory_aws)) == ({}, {"a": b"one"})


def test_names_that_could_leave_the_target_are_refused(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    for key in ("in/../../x", "in//x", "in/..\\x", "in/good"):
        memory_aws.put("lake", key, "x")
    done = run("sftp.upload", source="s3://lake/in/", target=f"{folder}/up/", max_failures=3)
    assert done.status == "warning"
    assert read_all(folder) == {"up/good": b"x"}
    fill(folder, {"..\\x": b"x", "fine": b"y"})
    down = run(
        "sftp.download", source=f"{folder}/", target="s3://lake/out/", include=["*"], max_failures=1
    )
    assert down.status == "warning"
    assert stored(memory_aws, "s3://lake/out/") == {"fine": b"y"}


def test_a_name_that_is_not_utf_8_is_the_failure_of_its_file(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder, {"fine": b"1", os.fsdecode(b"d\xe9/a\xff.csv"): b"22"})
    places = {"source": f"{folder}/", "target": "s3://lake/in/"}
    done = run("sftp.download", **places)
    assert done.error is not None
    assert "d\\xe9/a\\xff.csv: the name is not UTF-8" in done.error.message
    assert stored(memory_aws) == {"fine": b"1"}
    renamed = run("sftp.download", **places, name="${{ object.number }}${{ object.suffix }}")
    assert renamed.status == "succeeded", renamed.error
    assert stored(memory_aws) == {"fine": b"1", "1.csv": b"22", "2": b"1"}
    moved = run("sftp.download", **places, name="moved-${{ object.size }}", move=True)
    assert moved.status == "succeeded", moved.error
    assert read_all(folder) == {}


def test_a_folder_is_listed_again_after_a_lost_connection(
    run: Callable[..., StepResult], memory_aws: Store, ssh: OpenSsh, folder: Path
) -> None:
    for number in range(1500):
        (folder / f"{number:04}.csv").touch()
    (folder / "0000.csv").write_bytes(b"x")
    proxy = CuttingProxy(ssh.port, [100_000])
    done = run(
        "sftp.download",
        source=f"{folder}/",
        target="s3://lake/in/",
        port=proxy.port,
        exclude=["0[1-9]*", "1*"],
        min_size="1B",
    )
    assert done.status == "succeeded", done.error
    assert stored(memory_aws) == {"0000.csv": b"x"}
    assert proxy.connections == 2


@pytest.mark.parametrize("engine", ["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def test_a_download_goes_on_after_lost_connections(
    engine: str, run: Callable[..., StepResult], memory_aws: Store, ssh: OpenSsh, folder: Path
) -> None:
    fill(folder, {"large": os.urandom(20 * MIB), "small": b"one"})
    proxy = CuttingProxy(ssh.port, [7 * MIB, 9 * MIB])
    done = run(
        "sftp.download", source=f"{folder}/", target="s3://lake/in/", port=proxy.port, engine=engine
    )
    assert done.status == "succeeded", done.error
    assert stored(memory_aws) == read_all(folder)
    assert proxy.connections == 3
    assert done.outputs["bytes"] == 20 * MIB + 3


@pytest.mark.parametrize("engine", ["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def test_an_upload_goes_on_after_lost_connections(
    engine: str, run: Callable[..., StepResult], memory_aws: Store, ssh: OpenSsh, folder: Path
) -> None:
    data = os.urandom(24 * MIB)
    memory_aws.put("lake", "in/large", data)
    proxy = CuttingProxy(ssh.port, [14 * MIB])
    done = run(
        "sftp.upload", source="s3://lake/in/", target=f"{folder}/", port=proxy.port, engine=engine
    )
    assert done.status == "succeeded", done.error
    assert read_all(folder) == {"large": data}
    assert proxy.connections == 2
    sent = sum(1 for each in memory_aws.requests_of("GET", "lake") if "range" in each.headers)
    assert sent <= 3 + 1 + 3, "the second connection did not begin at the first byte"


@pytest.mark.parametrize("run_key", ["2026-01-31", ""])
def test_a_run_continues_what_one_of_its_key_left_and_no_other(
    run_key: str,
    run: Callable[..., StepResult],
    memory_aws: Store,
    ssh: OpenSsh,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = os.urandom(16 * MIB)
    memory_aws.put("lake", "in/large", data)
    monkeypatch.setattr("rolerunner.sftp.sessions.RETRY_SECONDS", ())
    proxy = CuttingProxy(ssh.port, [11 * MIB])
    fields = {"source": "s3://lake/in/large", "target": f"{folder}/large", "run_key": run_key}
    lost = run("sftp.upload", **fields, port=proxy.port)
    assert lost.error is not None
    assert lost.error.type == "ConnectionLost"
    (part,) = folder.iterdir()
    assert part.name.startswith(".large.")
    assert part.name.endswith(".part")
    assert part.stat().st_size > 8 * MIB
    inode = part.stat().st_ino
    memory_aws.requests.clear()
    done = run("sftp.upload", **fields)
    assert done.status == "succeeded", done.error
    assert (folder / "large").read_bytes() == data
    assert ((folder / "large").stat().st_ino == inode) is bool(run_key)
    assert part.exists() is not bool(run_key)
    ranges = [each.headers.get("range", "") for each in memory_aws.requests_of("GET", "lake")]
    assert bool([each for each in ranges if each.startswith("bytes=0-")]) is not bool(run_key)


@pytest.mark.parametrize("run_key", ["2026-01-31", ""])
def test_a_stopped_run_leaves_only_what_another_continues(
    run_key: str, run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    memory_aws.put("lake", "in/large", os.urandom(16 * MIB))
    cancel = Cancel()

    def stop_when_begun() -> None:
        while not any(each.stat().st_size > MIB for each in folder.iterdir()):
            time.sleep(0.02)
        cancel.set()

    stopping = threading.Thread(target=stop_when_begun)
    stopping.start()
    fields = {"source": "s3://lake/in/large", "target": f"{folder}/large", "run_key": run_key}
    stopped = run("sftp.upload", **fields, bandwidth="6MB/s", cancel=cancel)
    stopping.join()
    assert stopped.status in ("stopped", "failed")
    assert len([*folder.iterdir()]) == (1 if run_key else 0)


@pytest.mark.parametrize("has_changed", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_unfinished_file_with_other_content_is_written_anew(
    has_changed: bool,
    run: Callable[..., StepResult],
    memory_aws: Store,
    ssh: OpenSsh,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = os.urandom(16 * MIB)
    memory_aws.put("lake", "in/large", data)
    monkeypatch.setattr("rolerunner.sftp.sessions.RETRY_SECONDS", ())
    proxy = CuttingProxy(ssh.port, [11 * MIB])
    fields = {"source": "s3://lake/in/large", "target": f"{folder}/large", "run_key": "k"}
    assert run("sftp.upload", **fields, port=proxy.port).status == "failed"
    (part,) = folder.iterdir()
    if has_changed:
        data += b"more"
        memory_aws.put("lake", "in/large", data)
    else:
        part.write_bytes(b"\0" * part.stat().st_size)
    done = run("sftp.upload", **fields)
    assert done.status == "succeeded", done.error
    assert (folder / "large").read_bytes() == data


def test_a_file_that_changes_while_it_is_read_is_a_failure(
    run: Callable[..., StepResult],
    memory_aws: Store,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(folder, {"small": b"one", "large": b"x" * 9 * MIB})
    read = RemoteHandle.read

    def read_and_change(opened: Any, start: int, length: int, **more: Any) -> bytes:
        data = read(opened, start, length, **more)
        for name in ("small", "large"):
            with (folder / name).open("ab") as file:
                file.write(b"more")
        return data

    monkeypatch.setattr(RemoteHandle, "read", read_and_change)
    done = run("sftp.download", source=f"{folder}/", target="s3://lake/in/")
    assert done.error is not None
    assert "2 of 2 objects failed" in done.error.message
    assert "changed while it was copied" in done.error.message
    assert stored(memory_aws) == {}
    assert not memory_aws.uploads


def test_a_server_that_allows_fewer_sessions_gets_fewer(memory_aws: Store, tmp_path: Path) -> None:
    with start_openssh(more="MaxSessions 2") as server:
        content = {f"f{number}": b"x" * 100 for number in range(30)}
        fill(server.files, content)
        fields = {"source": f"{server.files}/", "target": "s3://lake/in/"}
        done = run_sftp_step(tmp_path, "sftp.download", server, **fields, sessions=8)
    assert done.status == "succeeded", done.error
    assert stored(memory_aws) == content


def test_a_read_only_server_and_a_full_one(memory_aws: Store, tmp_path: Path) -> None:
    memory_aws.put("lake", "in/a", "x")
    memory_aws.put("lake", "in/b", b"x" * 3 * MIB)
    with start_openssh(subsystem="internal-sftp -R") as server:
        fields = {"source": "s3://lake/in/a", "target": f"{server.files}/"}
        done = run_sftp_step(tmp_path, "sftp.upload", server, **fields)
    assert done.error is not None
    assert done.error.type == "AccessDenied"
    assert "does not allow the user to write it" in done.error.message

    with start_openssh(prepare="trap '' XFSZ; ulimit -f 4096") as server:  # 2 MiB
        fields = {"source": "s3://lake/in/", "target": f"{server.files}/"}
        done = run_sftp_step(tmp_path, "sftp.upload", server, **fields, max_failures=1)
        left = read_all(server.files)
    assert done.status == "warning"
    assert done.error is not None
    assert "the disk or the quota of the server may be full" in done.error.hint
    assert left == {"a": b"x"}


def test_folders_that_do_not_exist_and_files_in_their_place(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    done = run("sftp.download", source=f"{folder}/no/", target="s3://lake/in/")
    assert done.error is not None
    assert done.error.type == "NotFound"
    assert f"{folder}/no/" in done.error.message
    fill(folder, {"file": b"x"})
    memory_aws.put("lake", "in/a", "x")
    done = run("sftp.upload", source="s3://lake/in/a", target=f"{folder}/file/sub/")
    assert done.status == "failed"
    (folder / "dir").mkdir()
    done = run("sftp.upload", source="s3://lake/in/a", target=f"{folder}/dir")
    assert done.error is not None
    assert "is a folder on the server" in done.error.message
    done = run("sftp.download", source=f"{folder}/dir", target="s3://lake/in/")
    assert done.error is not None
    assert "write 'source:" in done.error.hint
    assert read_all(folder) == {"file": b"x"}


def test_modes_of_files_are_the_servers_own(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    memory_aws.put("lake", "in/a", "x")
    run("sftp.upload", source="s3://lake/in/a", target=f"{folder}/", keep_times=False)
    status = (folder / "a").stat()
    assert not status.st_mode & (stat.S_ISUID | stat.S_IWOTH)
    assert abs(status.st_mtime - time.time()) < 600


def test_a_server_that_lets_no_user_set_times_gets_the_files(
    memory_aws: Store, tmp_path: Path
) -> None:
    memory_aws.put("lake", "in/a", "x")
    with start_openssh(subsystem="internal-sftp -P setstat,fsetstat") as server:
        fields = {"source": "s3://lake/in/", "target": f"{server.files}/"}
        done = run_sftp_step(tmp_path, "sftp.upload", server, **fields)
        assert done.status == "succeeded", done.error
        assert read_all(server.files) == {"a": b"x"}


def test_another_attempt_skips_what_the_first_one_copied(
    run: Callable[..., StepResult],
    memory_aws: Store,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(folder, {"a": b"one", "b": b"two"})
    read = RemoteHandle.read
    changed: list[bool] = []

    def read_and_change_once(opened: Any, start: int, length: int, **more: Any) -> bytes:
        data = read(opened, start, length, **more)
        if data == b"two" and not changed:
            changed.append(True)
            (folder / "b").write_bytes(b"newer")
        return data

    monkeypatch.setattr(RemoteHandle, "read", read_and_change_once)
    again = {"retry": {"attempts": 2, "delay": 0}}
    done = run("sftp.download", source=f"{folder}/", target="s3://lake/in/", **again)
    assert done.status == "succeeded", done.error
    assert done.attempts == 2
    assert (done.outputs["count"], done.outputs["skipped"]) == (1, 1)
    assert stored(memory_aws) == {"a": b"one", "b": b"newer"}


STORED: dict[str, Any] = {
    "encryption": {"type": "AES256"}, "storage_class": "STANDARD_IA", "checksum": "CRC32",
    "acl": "bucket-owner-full-control", "content_type": "text/plain", "cache_control": "no-store",
    "content_encoding": "gzip", "content_disposition": "inline", "content_language": "en",
    "expires": "2027-01-31", "website_redirect": "/x", "metadata": {"a": "b"}, "tags": {"t": "1"},
}  # fmt: skip


def test_each_option_of_stored_objects_is_carried_out(
    run: Callable[..., StepResult], memory_aws: Store, folder: Path
) -> None:
    fill(folder, {"small": b"one", "large": b"x" * 2 * MIB})
    more = {
        "connect_timeout": "20s", "response_timeout": "90s", "keepalive": 0, "sessions": 1,
        "min_age": 0, "max_age": "1d", "max_size": "1GB", "bandwidth": "500MB/s",
        "max_requests_per_second": 500, "max_failures": "1%",
    }  # fmt: skip
    done = run("sftp.download", source=f"{folder}/", target="s3://lake/in/", **STORED, **more)
    assert done.status == "succeeded", done.error
    for name in ("small", "large"):
        headers = memory_aws.objects["lake", f"in/{name}"].headers
        assert headers["content-type"] == "text/plain"
        assert headers["cache-control"] == "no-store"
        assert headers["x-amz-meta-a"] == "b"
        assert headers["x-amz-meta-mtime"]
    key = {"customer_key": "${{ params.customer }}"}
    params = {"customer": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
    back = run(
        "sftp.upload", source="s3://lake/in/", target=f"{folder}/up/", **key, params=params, **more
    )
    assert back.status == "succeeded", back.error
    assert read_all(folder / "up") == {"small": b"one", "large": b"x" * 2 * MIB}
