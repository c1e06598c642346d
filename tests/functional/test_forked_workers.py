"""Forked worker processes: no object is lost, repeated or left behind when a process ends."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import sandbox
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied, StepError
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, Get, ObjectInfo, Outcome
from rolerunner.storage.workers import forked
from rolerunner.storage.workers.channel import Channel
from rolerunner.storage.workers.forked_worker import ForkedWorker
from rolerunner.storage.workers.pool import NoWorkerAvailable, WorkerPool
from rolerunner.storage.workers.protocol import OperationSpec
from tests.fake_s3 import Request, Response, start_fake_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="forked on Linux alone"
)  # and each Python has its own view of forks

ACCOUNT, OTHER = "111122223333", "444455556666"
WRITER, READER = f"arn:aws:iam::{ACCOUNT}:role/writer", f"arn:aws:iam::{OTHER}:role/taker"
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - {{arn: "arn:aws:iam::{ACCOUNT}:role/job",
      permissions: [{{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}]}}
  - arn: {WRITER}
    trust: [{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}},
            Action: sts:AssumeRole}}]
    permissions: [{{Effect: Allow, Action: "s3:*",
                  Resource: ["arn:aws:s3:::ours", "arn:aws:s3:::ours/*"]}}]
  - arn: {READER}
    trust: [{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}},
            Action: sts:AssumeRole}}]
    permissions: [{{Effect: Allow, Action: "s3:*",
                  Resource: ["arn:aws:s3:::theirs", "arn:aws:s3:::theirs/*"]}}]
buckets:
  - {{name: ours, account: "{ACCOUNT}"}}
  - {{name: theirs, account: "{OTHER}"}}
"""
COUNT = 1500
LARGE = bytes(range(256)) * (1 << 17)
"""32 MiB."""
ETAG = '"00000000000000000000000000000000"'


# the whole command, against a server that is slow enough to be caught at it


def make_body(key: str) -> bytes:
    return LARGE if key == "in/large" else key.encode() * 100


def render_page(query: Mapping[str, list[str]], keys: list[str]) -> Response:
    start = int(query.get("continuation-token", ["0"])[0])
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>{ETAG}</ETag><Size>{len(make_body(key))}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key in keys[start : start + 1000]
    )
    more = (
        f"<NextContinuationToken>{start + 1000}</NextContinuationToken>"
        if start + 1000 < len(keys)
        else ""
    )
    is_truncated = "true" if more else "false"
    return Response(
        f"<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>"
        f"{more}{contents}</ListBucketResult>".encode()
    )


def make_responder(keys: list[str], delay: float) -> Callable[[Request], Response]:
    def respond(request: Request) -> Response:
        if request.operation == "GET [list-type]":
            return render_page(request.query, keys)
        if request.operation == "GET":
            time.sleep(delay)
            data = make_body(request.key)
            crc = b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
            headers = {
                "ETag": ETAG,
                "x-amz-checksum-crc32": crc,
                "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            }
            expected = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
            if not expected:
                return Response(data, headers=headers)
            start, end = int(expected[1]), int(expected[2]) + 1
            del headers["x-amz-checksum-crc32"]
            return Response(
                data[start:end],
                206,
                {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"},
            )
        if request.operation == "HEAD":
            data = make_body(request.key)
            crc = b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
            return Response(
                headers={
                    "ETag": ETAG,
                    "Content-Length": str(len(data)),
                    "x-amz-checksum-crc32": crc,
                }
            )
        return Response(status=400)  # STS, which does not tell who we are

    return respond


@contextmanager
def running(
    tmp_path: Path, keys: list[str], delay: float, more: str = ""
) -> Iterator[tuple[subprocess.Popen[str], list[Request]]]:
    """The command at a download of these keys."""
    (tmp_path / "job.yaml").write_text(
        "version: 1\n"
        "name: t\n"
        f"{more}\n"
        "steps:\n"
        "  - {id: fetch, action: s3.download, role: job, source: 's3://bucket/in/', "
        f"target: '{tmp_path}/out/'}}\n"
    )
    with start_fake_s3(make_responder(keys, delay)) as (client, requests):
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "a-long-secret",
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": client.meta.endpoint_url,
            "TMPDIR": str(tmp_path),
        }
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "rolerunner",
            "run",
            str(tmp_path / "job.yaml"),
            "--result",
            str(tmp_path / "result.json"),
        ]
        with subprocess.Popen(
            [*command, "--log-format", "json"],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            yield process, requests


def list_children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def sockets(pid: int) -> int:
    """Returns how many it has open; one that waits has a single one."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            count += os.readlink(link).startswith("socket:")
        except OSError:
            continue
    return count


def wait_until(poll: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = poll()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} was not seen")


def find_working_child(process: subprocess.Popen[str]) -> int:
    """The process that helps, once it has connections of its own."""
    return int(
        wait_until(
            lambda: next((each for each in list_children(process.pid) if sockets(each) > 4), 0),
            "a process that helps",
        )
    )


def list_keys(count: int = COUNT) -> list[str]:
    return [f"in/{number:05}" for number in range(count)]


def read_sizes(tmp_path: Path) -> dict[str, int]:
    return {f"in/{entry.name}": entry.stat().st_size for entry in os.scandir(tmp_path / "out")}


@pytest.fixture(autouse=True)
def _two_cores() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core")


def test_a_process_takes_its_share_and_everything_is_done_once(tmp_path: Path) -> None:
    keys = [*list_keys(), "in/large"]
    with running(tmp_path, keys, 0.01) as (process, requests):
        helper = find_working_child(process)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    assert read_sizes(tmp_path) == {key: len(make_body(key)) for key in keys}
    assert (tmp_path / "out/large").read_bytes() == LARGE
    assert (tmp_path / "out/00700").read_bytes() == make_body("in/00700")
    fetched = [each.key for each in requests if each.operation == "GET" and each.key != "in/large"]
    assert sorted(fetched) == list_keys(), "each object once"
    assert (
        len([each for each in requests if each.operation == "GET" and each.key == "in/large"]) == 2
    ), "and each range of the large one"
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["steps"][0]["outputs"]["count"] == COUNT + 1
    assert result["steps"][0]["outputs"]["bytes"] == sum(len(make_body(key)) for key in keys)
    assert not Path(f"/proc/{helper}").exists(), "it ended, and was waited for"


def test_what_a_process_had_in_hand_when_it_was_killed_is_done_by_the_first_one(
    tmp_path: Path,
) -> None:
    with running(tmp_path, list_keys(), 0.02) as (process, _):
        os.kill(find_working_child(process), signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    assert read_sizes(tmp_path) == {key: len(make_body(key)) for key in list_keys()}, (
        "and nothing else: what it left half done is gone"
    )
    assert (
        json.loads((tmp_path / "result.json").read_text())["steps"][0]["outputs"]["count"] == COUNT
    )
    assert "a worker process is gone" in out


def test_a_signal_stops_all_of_them_and_nothing_half_done_is_left(tmp_path: Path) -> None:
    with running(tmp_path, list_keys(), 0.05) as (process, _):
        helper = find_working_child(process)
        wait_until(
            lambda: (tmp_path / "out").exists() and len(os.listdir(tmp_path / "out")) > 100, "files"
        )
        process.terminate()
        started_at = time.monotonic()
        process.communicate(timeout=20)
        assert time.monotonic() - started_at < 5
    assert process.returncode == 143
    assert not Path(f"/proc/{helper}").exists()
    assert set(read_sizes(tmp_path).items()) < {(key, len(make_body(key))) for key in list_keys()}


def test_an_interrupt_of_the_whole_group_is_left_to_the_first_one(tmp_path: Path) -> None:
    with running(tmp_path, list_keys(), 0.05) as (process, _):
        helper = find_working_child(process)
        os.kill(helper, signal.SIGINT)  # as a terminal sends it to all
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not Path(f"/proc/{helper}").exists()


def test_no_process_outlives_one_that_was_killed(tmp_path: Path) -> None:
    with running(tmp_path, list_keys(), 0.05) as (process, _):
        helper = find_working_child(process)
        process.kill()
        wait_until(lambda: not sockets(helper), "its end")


def test_little_memory_means_one_process(tmp_path: Path) -> None:
    with running(tmp_path, list_keys(400), 0.01, "memory: 128MB") as (process, requests):
        wait_until(lambda: any(each.operation == "GET" for each in requests), "a download")
        assert not list_children(process.pid)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(read_sizes(tmp_path)) == 400


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, 99),
        ({"cpu.max": "25000 100000"}, 0),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "nonsense"}, 99),
        ({"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "100000"}, 0),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 99),
        ({}, 99),
    ],
)
def test_a_part_of_a_core_is_none(
    files: Mapping[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(forked, "_CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(99)))
    assert forked.choose_process_count(250_000_000) == max(1, min(cores, 2))
    assert forked.choose_process_count(2_000_000_000) == max(1, min(cores, 4))
    assert forked.choose_process_count(128_000_000) == 1


def test_uploads_and_copies_under_roles_of_two_accounts(
    aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(400):
        (tmp_path / f"in/{number:03}").write_bytes(f"{number}".encode() * 50)
    (tmp_path / "in/large").write_bytes(LARGE)
    (tmp_path / "job.yaml").write_text(
        f"""
version: 1
name: t
roles: {{writer: "{WRITER}", taker: "{READER}"}}
steps:
  - {{id: send, action: s3.upload, role: writer, source: "{tmp_path}/in/", target: "s3://ours/a/"}}
  - {{id: move, action: s3.copy, role: writer, source: "s3://ours/a/", target: "s3://ours/b/"}}
  - {{id: share, action: s3.copy, source_role: writer, target_role: taker, source: "s3://ours/b/",
      target: "s3://theirs/c/"}}
  - {{id: fetch, action: s3.download, role: taker, source: "s3://theirs/c/",
      target: "{tmp_path}/out/"}}
"""
    )
    keys = aws.job_keys
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token or "",
        "AWS_REGION": aws.region,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "TMPDIR": str(tmp_path),
    }
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "rolerunner",
        "run",
        str(tmp_path / "job.yaml"),
        "--result",
        str(tmp_path / "result.json"),
    ]
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        find_working_child(process)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()
    }
    result = json.loads((tmp_path / "result.json").read_text())
    assert [each["outputs"]["count"] for each in result["steps"]] == [401] * 4
    assert {
        each["role"]: each["assume_calls"] for each in result["roles"] if each["role"] != "job"
    } == {"writer": 1, "taker": 1}
    assert sum(aws.assume_role_count().values()) == 2


def test_a_machine_that_lets_nobody_fork_has_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuses)
    monkeypatch.setattr(forked, "_is_single_threaded", lambda: True)
    processes = forked.ForkedProcesses(2, lambda role, token: None)
    processes.fork(lambda channel: None)
    assert (processes.count, processes.acquire()) == (1, [])
    gc.unfreeze()


def test_a_machine_without_proc_has_one_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(forked, "_THREADS", tmp_path / "proc")
    processes = forked.ForkedProcesses(2, lambda role, token: None)
    processes.fork(lambda channel: None)
    assert (processes.count, processes.acquire()) == (1, [])


# the two ends, in two threads


class Hollow(Exception):
    """An error that is pickled, and cannot be unpickled."""

    def __init__(self, text: str, *, code: int) -> None:
        super().__init__(text)
        self.code = code


class Work:
    """A storage of which each object's key says what becomes of it."""

    def __init__(self, flow: Pacer) -> None:
        self.flow = flow
        self.done: list[str] = []

    def get(self, items: Iterable[Any], cancel: Cancel) -> Iterator[Outcome]:
        for item in items:
            if item is None:
                continue
            cancel.stop_if_set()
            key = item.source.key
            if key == "refused":
                raise AccessDenied("no", hint="ask")
            if key == "hollow":
                raise Hollow("no", code=1)
            if key == "strange":
                raise type("Strange", (Exception,), {"lock": threading.Lock()})("cannot be pickled")
            self.flow.report_bytes(10)
            self.done.append(key)
            error = StepError("bad", hint="look", type="Bad") if key == "bad" else None
            yield Outcome(
                item.source, 10, item.target, status="failed" if error else "done", error=error
            )

    def twice(self, number: int, cancel: Cancel) -> int:
        if number < 0:
            cancel.wait(60)
            cancel.stop_if_set()
        if number == 0:
            raise AccessDenied("nothing twice is nothing")
        return number * 2


class Pair:
    """Stands for Processes, with one process that is a thread."""

    def __init__(self, work: Work) -> None:
        ours, theirs = socket.socketpair()
        self.ours, self.theirs = Channel(ours), Channel(theirs)
        self.process = forked.ForkedProcess(2**22 + 1, self.ours)  # no such process
        self.back: list[forked.ForkedProcess] = []

        def open_storage(_: Any, __: Any, flow: Any) -> Any:
            work.flow = flow
            return work

        self.server = ForkedWorker(self.theirs, open_storage)
        self.thread = threading.Thread(target=self.server.serve, daemon=True)
        self.thread.start()

    def lend(self, role: Any, token: str) -> Any:
        if token == "expired":
            raise AccessDenied("no more")
        return f"{role} {token}"

    def acquire(self) -> list[forked.ForkedProcess]:
        return [self.process]

    def release(self, process: forked.ForkedProcess) -> None:
        self.back.append(process)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Pair, Work]]:
    monkeypatch.setattr("rolerunner.storage.workers.pool._LOCAL_FIRST", 3)
    work = Work(Pacer())
    process_pair = Pair(work)
    yield process_pair, work
    process_pair.ours.shut_down()
    process_pair.thread.join(10)
    assert not process_pair.thread.is_alive()
    process_pair.ours.close()
    process_pair.theirs.close()


def create_pool(
    process_pair: Pair, flow: Pacer | None = None, cancel: Cancel | None = None
) -> WorkerPool:
    operation = OperationSpec("get", (JOB, Access()))
    processes: Any = process_pair  # implements the two methods that the pool calls
    return WorkerPool(processes, operation, flow or Pacer(), cancel or Cancel())


def gets(*keys: str) -> list[Get]:
    return [Get(S3Uri("b", key), Path("/tmp") / key, ObjectInfo(key, 10)) for key in keys]


def dispatch(
    pool: WorkerPool, items: Iterable[Any], keep: Callable[[Get], bool] = lambda _: False
) -> tuple[list[Outcome], list[str]]:
    """Outcomes that came from elsewhere, and the keys that were begun here."""
    by_workers, by_first_process = [], []
    for each in pool.dispatch(
        items, lambda item: item, lambda item: None if keep(item) else item.source
    ):
        if isinstance(each, Outcome):
            by_workers.append(each)
        elif each is not None:
            by_first_process.append(each.source.key)
        else:
            time.sleep(0.001)
    return by_workers, by_first_process


def test_objects_are_dispatched_and_come_back(pair: tuple[Pair, Work]) -> None:
    process_pair, work = pair
    told: list[int] = []
    flow = Pacer()
    flow.on_bytes = told.append
    settled = Outcome(S3Uri("b", "settled"), status="skipped")
    with create_pool(process_pair, flow) as pool:
        keys = [f"k{number}" for number in range(500)]
        by_workers, by_first_process = dispatch(
            pool, [settled, *gets("bad", *keys, "mine")], lambda item: item.source.key == "mine"
        )
    assert by_first_process[:3] == ["bad", "k0", "k1"], (
        "the first are begun here: most operations are small"
    )
    assert "mine" in by_first_process
    assert settled in by_workers
    assert sorted([*by_first_process, *(each.uri.key for each in by_workers)]) == sorted(
        ["settled", "bad", *keys, "mine"]
    )
    assert len(work.done) == len(by_workers) - 1 >= 160
    assert sum(told) == 10 * len(work.done)
    assert process_pair.back == [process_pair.process], "and it waits for the next operation"
    with create_pool(process_pair) as pool:
        by_workers, _ = dispatch(pool, gets("a", "b", "c", "bad", "d"))
    assert {each.uri.key: each.error and each.error.type for each in by_workers} == {
        "bad": "Bad",
        "d": None,
    }


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [("refused", AccessDenied, "no"), ("strange", StepError, "Strange: cannot be pickled")],
)
def test_what_stops_one_process_stops_the_operation(
    pair: tuple[Pair, Work], key: str, error: type[StepError], words: str
) -> None:
    process_pair, _ = pair
    with pytest.raises(error, match=words) as raised, create_pool(process_pair) as pool:
        dispatch(pool, gets("a", "b", "c", *(f"k{number}" for number in range(40)), key))
    assert not raised.value.hint or raised.value.hint == "ask"
    assert process_pair.back == [process_pair.process]


def test_a_message_that_cannot_be_read_is_the_end_of_its_process(pair: tuple[Pair, Work]) -> None:
    process_pair, _ = pair
    keys = ["a", "b", "c", "hollow", *(f"k{number}" for number in range(40))]
    with create_pool(process_pair) as pool:
        by_workers, by_first_process = dispatch(pool, gets(*keys))
    assert sorted([*by_first_process, *(each.uri.key for each in by_workers)]) == sorted(keys)
    assert not process_pair.back


def test_a_process_whose_operation_has_ended_takes_no_calls_and_the_next_operation(
    pair: tuple[Pair, Work],
) -> None:
    process_pair, _ = pair
    with create_pool(process_pair) as pool:
        with pytest.raises(AccessDenied):
            dispatch(pool, gets("a", "b", "c", *(f"k{number}" for number in range(40)), "refused"))
        for _ in range(3):  # before and after it has told that the operation has ended
            with pytest.raises(NoWorkerAvailable):
                pool.call("twice", 21, here=1)
            time.sleep(0.05)
    assert process_pair.back == [process_pair.process]
    with create_pool(process_pair) as pool:
        assert pool.call("twice", 21, here=1) == 42


def test_what_a_process_leaves_undone_is_begun_here(
    pair: tuple[Pair, Work], caplog: pytest.LogCaptureFixture
) -> None:
    process_pair, _ = pair

    def items() -> Iterator[Get]:
        for number, item in enumerate(gets(*(f"k{number}" for number in range(300)))):
            if number == 150:
                process_pair.ours.shut_down()
            yield item

    with create_pool(process_pair) as pool:
        by_workers, by_first_process = dispatch(pool, items())
    assert sorted([*by_first_process, *(each.uri.key for each in by_workers)]) == sorted(
        f"k{number}" for number in range(300)
    )
    assert "is gone" in caplog.text
    assert not process_pair.back


def test_calls_are_answered_refused_and_not_taken_where_nobody_has_room(
    pair: tuple[Pair, Work],
) -> None:
    process_pair, _ = pair
    cancel = Cancel()
    with create_pool(process_pair, cancel=cancel) as pool:
        assert pool.call("twice", 21, here=1) == 42
        with pytest.raises(AccessDenied, match="nothing twice"):
            pool.call("twice", 0, here=0)
        stopped: list[BaseException] = []

        def hang() -> None:
            try:
                pool.call("twice", -1, here=1)
            except StepError as error:
                stopped.append(error)

        threads = [threading.Thread(target=hang) for _ in range(2)]
        for each in threads:
            each.start()
        wait_until(lambda: len(pool._acquire_workers()[0].calls) == 2, "two calls")
        with pytest.raises(NoWorkerAvailable):
            pool.call("twice", 21, here=1)
        cancel.set()
        for each in threads:
            each.join(5)
        assert [each.type for each in stopped] == ["Stopped", "Stopped"]  # type: ignore[attr-defined]
        raise_in = pool._acquire_workers()[0]
        raise_in.send("stop")
    assert process_pair.back == [process_pair.process]


def test_a_call_whose_process_died_is_done_here(pair: tuple[Pair, Work]) -> None:
    process_pair, _ = pair
    with create_pool(process_pair) as pool:
        threading.Timer(0.2, process_pair.ours.shut_down).start()
        with pytest.raises(NoWorkerAvailable):
            pool.call("twice", -1, here=1)
        with pytest.raises(NoWorkerAvailable):
            pool.call("twice", 21, here=1)


def test_a_call_that_gets_no_thread_in_its_process_is_done_here(
    pair: tuple[Pair, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    process_pair, _ = pair

    def submit(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("rolerunner.storage.workers.forked_worker.ThreadPool.submit", submit)
    with create_pool(process_pair) as pool, pytest.raises(NoWorkerAvailable):
        pool.call("twice", 21, here=1)


def test_sessions_are_lent(pair: tuple[Pair, Work]) -> None:
    process_pair, work = pair

    def twice(number: int, cancel: Cancel) -> Any:
        del cancel
        return process_pair.server.lease(JOB, "expired" if number else "old")

    work.twice = twice  # type: ignore[method-assign]
    with create_pool(process_pair) as pool:
        assert pool.call("twice", 0, here=0) == "job old"
        with pytest.raises(AccessDenied, match="no more"):
            pool.call("twice", 1, here=0)


def test_a_pace_is_kept_by_one(pair: tuple[Pair, Work]) -> None:
    process_pair, work = pair
    with create_pool(process_pair, Pacer(bandwidth=1e6)) as pool:
        by_workers, by_first_process = dispatch(pool, gets(*(f"k{number}" for number in range(50))))
        with pytest.raises(NoWorkerAvailable):
            pool.call("twice", 21, here=1)
    assert (len(by_workers), len(by_first_process), work.done) == (0, 50, [])
