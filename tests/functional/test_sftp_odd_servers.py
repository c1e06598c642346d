"""sftp.download and sftp.upload with servers that do what the protocol allows, or more than that.

After each run both sides are listed by other means: a file may be missing on one side only if it is
complete on the other one, and no file with its own name may be a part of one.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from paramiko import sftp

from rolerunner.common.cancellation import Cancel
from tests.odd_sftp_server import (
    DROP,
    FAILURE,
    LOSE,
    STALL,
    UNSUPPORTED,
    OddServer,
    SftpRequest,
    start_odd_server,
)
from tests.openssh import run_sftp_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolerunner.model import StepResult
    from tests.memory_aws import Store

pytestmark = pytest.mark.once
MIB = 1 << 20
SMALL, LARGE = b"0123456789", bytes(range(256)) * (MIB // 256 + 50)
CONTENT = {"a.csv": SMALL, "empty": b"", "sub/large": LARGE}
PREFIX = "s3://lake/in/"
KEY = {"private_key": "${{ params.secret }}"}


@pytest.fixture(scope="module")
def user_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tests.openssh import make_key

    path = tmp_path_factory.mktemp("key") / "key"
    make_key(path)
    return path.read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OddServer]:
    root = tmp_path / "root"
    (root / "out").mkdir(parents=True)
    (root / "in").mkdir()
    with start_odd_server(root) as started:
        yield started


@pytest.fixture
def run(
    memory_aws: Store, server: OddServer, tmp_path: Path, user_key: str
) -> Callable[..., StepResult]:
    """Runs one step from out/ of the server to S3, or from S3 to its in/."""
    del memory_aws
    places = {
        "sftp.download": {"source": "/out/", "target": PREFIX},
        "sftp.upload": {"source": PREFIX, "target": "/in/"},
    }

    def run_step(action: str, **fields: Any) -> StepResult:
        secret, cancel = fields.pop("secret", user_key), fields.pop("cancel", None)
        step = {
            "host": "127.0.0.1", "port": server.port, "user": "acme", "host_key": server.line,
            "response_timeout": "5s", **KEY, **places[action], **fields,
        }  # fmt: skip
        return run_sftp_fields(tmp_path, action, step, {"secret": secret}, cancel=cancel)

    return run_step


def fill(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def read_all(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stored(store: Store) -> dict[str, bytes]:
    return {uri.removeprefix(PREFIX): body for uri, body in store.bodies().items()}


def store_all(store: Store, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        store.put("lake", f"in/{name}", data)


def refuse(*kinds: int, status: int = FAILURE, ending: str = "") -> Callable[[SftpRequest], Any]:
    return lambda request: (
        status if request.kind in kinds and request.path.endswith(ending) else None
    )


def do_once(kind: int, outcome: str) -> Callable[[SftpRequest], Any]:
    done: list[bool] = []
    return lambda request: (
        None if request.kind != kind or done else done.append(True) or outcome  # type: ignore[func-returns-value]
    )


HABITS: dict[str, dict[str, Any]] = {
    "no posix-rename": {"extensions": ()},
    "no posix-rename, and rename replaces": {"extensions": (), "rename_replaces": True},
    "no posix-rename, and a request for it ends the connection": {
        "extensions": (), "hook": refuse(sftp.CMD_EXTENDED, status=DROP),  # type: ignore[arg-type]
    },
    "answers in another order": {"reorders": True},
    "short reads": {"most_bytes": 4096},
    "one session": {"sessions": 1},
    "no attributes in listings": {"listed_attributes": 0},
    "kinds in longnames alone": {"keeps_kinds": False},
    "no times": {"attributes": 5},
    "no setstat": {"hook": refuse(sftp.CMD_SETSTAT, sftp.CMD_FSETSTAT, status=UNSUPPORTED)},
    "no fstat": {"hook": refuse(sftp.CMD_FSTAT, status=UNSUPPORTED)},
}  # fmt: skip


@pytest.mark.parametrize("habit", HABITS)
def test_files_go_both_ways_whatever_the_servers_habit(
    habit: str, run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    for name, value in HABITS[habit].items():
        setattr(server, name, value)
    fill(server.root / "out", CONTENT)
    fill(server.root / "in", {"a.csv": b"old"})
    down = run("sftp.download", move=True)
    assert down.status == "succeeded", down.error
    assert stored(memory_aws) == CONTENT
    assert read_all(server.root / "out") == {}
    up = run("sftp.upload", move=True)
    assert up.status == "succeeded", up.error
    assert read_all(server.root / "in") == CONTENT
    assert memory_aws.objects == {}


def test_a_request_fits_into_one_message_of_ssh(
    run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    """ProFTPD mixes up requests of several sessions that it receives in pieces."""
    store_all(memory_aws, CONTENT)
    assert run("sftp.upload").status == "succeeded"
    assert 30_000 < server.largest_request <= 32_768 - 64


PHASES_OF_UPLOADS = {
    "open": sftp.CMD_OPEN, "write": sftp.CMD_WRITE, "close": sftp.CMD_CLOSE,
    "look up": sftp.CMD_LSTAT, "set the time": sftp.CMD_SETSTAT, "rename": sftp.CMD_EXTENDED,
    "make a folder": sftp.CMD_MKDIR,
}  # fmt: skip
PHASES_OF_DOWNLOADS = {
    "list": sftp.CMD_READDIR, "open": sftp.CMD_OPEN, "read": sftp.CMD_READ, "close": sftp.CMD_CLOSE,
    "look up": sftp.CMD_FSTAT, "delete": sftp.CMD_REMOVE,
}  # fmt: skip


@pytest.mark.parametrize("outcome", [DROP, LOSE])
@pytest.mark.parametrize("phase", PHASES_OF_UPLOADS)
def test_an_upload_goes_on_whenever_the_connection_breaks(
    phase: str, outcome: str, run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    store_all(memory_aws, CONTENT)
    server.hook = do_once(PHASES_OF_UPLOADS[phase], outcome)
    done = run("sftp.upload", move=True)
    assert done.status == "succeeded", done.error
    assert read_all(server.root / "in") == CONTENT
    assert memory_aws.objects == {}
    assert server.connections == 2


@pytest.mark.parametrize("outcome", [DROP, LOSE])
@pytest.mark.parametrize("phase", PHASES_OF_DOWNLOADS)
def test_a_download_goes_on_whenever_the_connection_breaks(
    phase: str, outcome: str, run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    fill(server.root / "out", CONTENT)
    server.hook = do_once(PHASES_OF_DOWNLOADS[phase], outcome)
    done = run("sftp.download", move=True)
    assert done.status == "succeeded", done.error
    assert stored(memory_aws) == CONTENT
    assert read_all(server.root / "out") == {}
    assert server.connections == 2


@pytest.mark.parametrize("phase", ["write", "close", "look up", "rename"])
@pytest.mark.parametrize("extensions", [(), ("posix-rename@openssh.com",)])
def test_what_the_server_refuses_costs_no_file_on_either_side(
    phase: str,
    extensions: tuple[str, ...],
    run: Callable[..., StepResult],
    memory_aws: Store,
    server: OddServer,
) -> None:
    before = {"a.csv": b"old", "sub/large": b"older"}
    fill(server.root / "in", before)
    content = {name: CONTENT[name] for name in before}
    store_all(memory_aws, content)
    server.extensions = extensions
    kinds = (
        (sftp.CMD_EXTENDED, sftp.CMD_RENAME) if phase == "rename" else (PHASES_OF_UPLOADS[phase],)
    )
    server.hook = refuse(*kinds, ending=".part")
    done = run("sftp.upload", move=True)
    assert done.status == "failed"
    assert stored(memory_aws) == content
    assert read_all(server.root / "in") == before


def test_a_file_that_is_longer_than_reported_is_not_copied_in_part(
    run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    def shorten(found: os.stat_result) -> os.stat_result:
        return os.stat_result((*found[:6], found.st_size // 2, *found[7:10]))

    server.describe = shorten
    fill(server.root / "out", {"small": SMALL, "large": LARGE * 2, "one": b"1"})
    done = run("sftp.download", move=True)
    assert done.error is not None
    assert "3 of 3 objects failed" in done.error.message
    assert "has more bytes than the 5 that the server reports" in done.error.message
    assert memory_aws.objects == {}
    assert len(read_all(server.root / "out")) == 3


def test_an_age_that_the_server_does_not_report_selects_nothing(
    run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    server.attributes = 5
    fill(server.root / "out", CONTENT)
    done = run("sftp.download", min_age="5m")
    assert done.error is not None
    assert done.error.type == "NoAttributes"
    assert "'min_age'" in done.error.message
    assert memory_aws.objects == {}


def test_a_time_that_sftp_cannot_express_is_not_set(
    run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    times = {"a": "-5", "b": "5000000000", "c": "1700000000"}
    for name, text in times.items():
        memory_aws.put("lake", f"in/{name}", b"x", headers={"x-amz-meta-mtime": text})
    done = run("sftp.upload", source=None, objects=[f"{PREFIX}{name}" for name in times])
    assert done.status == "succeeded", done.error
    found = {path.name: int(path.stat().st_mtime) for path in (server.root / "in").iterdir()}
    assert found.pop("c") == 1_700_000_000
    assert all(1_700_000_000 < each < 5_000_000_000 for each in found.values())


@pytest.mark.parametrize("text", [b"f\xfcr", b"it is closed", b"x" * 5000, b""])
def test_the_servers_own_words_are_shown_and_decide_nothing(
    text: bytes, run: Callable[..., StepResult], server: OddServer, memory_aws: Store
) -> None:
    fill(server.root / "out", CONTENT)
    server.message, server.hook = text, refuse(sftp.CMD_OPEN)
    done = run("sftp.download")
    assert done.error is not None
    assert done.error.type == "SftpFailed"
    shown = text.decode("ascii", "backslashreplace")[:200] or "Failure"
    assert f"the server failed to read it: {shown}" in done.error.message
    assert len(done.error.message) < 2000
    assert server.connections == 1
    assert memory_aws.objects == {}


@pytest.mark.parametrize("greeting", [b"Welcome to ACME\r\n", b"\x00\x7fWelcome to ACME\r\n"])
def test_text_where_sftp_should_begin_is_shown(
    greeting: bytes, run: Callable[..., StepResult], server: OddServer
) -> None:
    server.greeting = greeting
    done = run("sftp.download", response_timeout="1m")
    assert done.error is not None
    assert done.error.type == "NoSftp"
    assert "Welcome to ACME" in done.error.message


@pytest.mark.parametrize(
    ("prompts", "status"),
    [
        ((("Password: ", False),), "succeeded"),
        ((("Password: ", True),), "failed"),
        ((("Password: ", False), ("Code: ", False)), "failed"),
    ],
)
def test_a_password_is_given_at_one_prompt_that_hides_it(
    prompts: tuple[tuple[str, bool], ...],
    status: str,
    run: Callable[..., StepResult],
    memory_aws: Store,
    server: OddServer,
) -> None:
    fill(server.root / "out", CONTENT)
    server.password, server.prompts = "correct horse", prompts
    fields = {"private_key": None, "password": "${{ params.secret }}"}
    done = run("sftp.download", **fields, secret="correct horse")
    assert done.status == status
    assert stored(memory_aws) == (CONTENT if status == "succeeded" else {})
    assert ("correct horse" in "".join(server.answered)) is (status == "succeeded")


def test_a_session_that_the_server_closes_when_idle_is_opened_again(
    run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    fill(server.root / "out", {f"{number:02}": b"x" for number in range(6)})
    memory_aws.after = lambda request: (
        server.close_idle_sessions() if request.method == "PUT" else None
    )
    done = run("sftp.download", move=True, sessions=1)
    assert done.status == "succeeded", done.error
    assert len(memory_aws.objects) == 6
    assert read_all(server.root / "out") == {}


@pytest.mark.parametrize("kind", [sftp.CMD_OPEN, sftp.CMD_READ, sftp.CMD_READDIR])
def test_a_server_that_answers_no_more_is_connected_to_again(
    kind: int, run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    fill(server.root / "out", CONTENT)
    server.hook = do_once(kind, STALL)
    done = run("sftp.download", response_timeout="1s")
    assert done.status == "succeeded", done.error
    assert stored(memory_aws) == CONTENT


def test_an_upload_that_cannot_be_continued_is_written_anew(
    run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    """Gateways of object stores open no file for writing that is there, or empty it."""
    content = os.urandom(12 * MIB)
    memory_aws.put("lake", "in/large", content)
    writes: list[bool] = []

    def hook(request: SftpRequest) -> Any:
        if request.kind == sftp.CMD_WRITE:
            writes.append(True)
            return DROP if len(writes) == 350 else None
        appends = request.kind == sftp.CMD_OPEN and request.flags == sftp.SFTP_FLAG_WRITE
        return UNSUPPORTED if appends else None

    server.hook = hook
    done = run("sftp.upload")
    assert done.status == "succeeded", done.error
    assert read_all(server.root / "in") == {"large": content}


def test_a_stopped_run_leaves_no_small_file_unfinished(
    run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    store_all(memory_aws, {f"{number:02}": SMALL for number in range(40)})
    cancel, writes = Cancel(), []

    def stop_soon(request: SftpRequest) -> None:
        if request.kind == sftp.CMD_WRITE:
            writes.append(request)
            if len(writes) == 5:
                cancel.set()
            if len(writes) >= 5:
                time.sleep(0.1)

    server.hook = stop_soon
    done = run("sftp.upload", cancel=cancel)
    assert done.error is not None
    assert done.error.type == "Stopped"
    left = read_all(server.root / "in")
    assert set(left.values()) == {SMALL}
    assert not [name for name in left if name.endswith(".part")]


def test_names_that_differ_in_case_alone_are_two_files_or_none(
    run: Callable[..., StepResult], memory_aws: Store, server: OddServer
) -> None:
    content = {"A.csv": b"one", "a.csv": b"two"}
    store_all(memory_aws, content)
    server.folds_case = True
    done = run("sftp.upload", move=True)
    assert done.error is not None
    assert done.error.type == "SameFile"
    assert "differ in case" in done.error.message
    assert stored(memory_aws) == content
    server.folds_case = False
    done = run("sftp.upload", move=True)
    assert done.status == "succeeded", done.error
    assert read_all(server.root / "in") == content


def test_a_subsystem_that_never_starts_is_an_error(
    run: Callable[..., StepResult], server: OddServer
) -> None:
    server.starts_subsystems = False
    done = run("sftp.download", response_timeout="1s")
    assert done.error is not None
    assert done.error.type == "NoSftp"
