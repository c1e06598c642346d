"""The parts of a run: the engine, the memory's share, small objects, and worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rolerunner import wiring
from rolerunner.actions import registry
from rolerunner.errors import NotFound, UsageError
from rolerunner.model import JOB, Job, S3Uri
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.spec.loader import load_spec
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.native.engine import NativeEngine
from tests import memory_aws as aws

HEAD = "version: 1\nname: t\n"


def load(text: str, file: str = "t.yaml") -> Job:
    return load_spec(HEAD + text, file, registry(), {})


def steps(*more: str) -> str:
    """Returns listing steps with these additional fields."""
    return "steps:\n" + "".join(
        f"  - {{id: s{number}, action: s3.list, role: job, source: s3://bkt/{each}}}\n"
        for number, each in enumerate(more)
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (steps(""), 1),
        (steps("", "", ""), 1),
        (steps("", ", needs: []"), 2),
        ("max_parallel: 1\n" + steps("", ", needs: []"), 1),
        ("max_parallel: 2\n" + steps("", ", needs: []", ", needs: []"), 2),
        (steps("", ", needs: []", ", needs: []"), 3),
        (steps(", for_each: [a]"), 4),
        ("max_parallel: 2\n" + steps(", for_each: [a]"), 2),
        (steps(", for_each: {items: [a], max_parallel: 7}"), 7),
        (steps(", for_each: {items: [a], max_parallel: 3}", ", for_each: [a]"), 4),
    ],
)
def test_how_many_steps_or_items_share_the_memory(text: str, count: int) -> None:
    assert wiring.count_concurrent_transfers(load(text)) == count


@pytest.mark.parametrize(("engine", "kind"), [("boto3", BotoEngine), ("fast", NativeEngine)])
def test_the_engine_is_the_one_that_the_spec_names(
    memory_aws: aws.Store, engine: str, kind: type[Any]
) -> None:
    memory_aws.put("bucket", "key", b"x")
    sessions = wiring.build_sessions(None, "t-1")
    storage = wiring.open_storage(sessions, JOB, engine=engine)
    assert type(storage) is kind
    assert [info.key for info in storage.list(S3Uri("bucket"))] == ["key"]


@pytest.mark.parametrize(("memory", "at_once"), [(None, 1), (128 << 20, 1), (None, 8)])
def test_concurrent_steps_share_the_memory(
    memory_aws: aws.Store, memory: int | None, at_once: int
) -> None:
    del memory_aws
    sessions = wiring.build_sessions(None, "t-1")
    whole: Any = wiring.open_storage(sessions, JOB, engine="boto3")
    shared: Any = wiring.open_storage(sessions, JOB, engine="boto3", memory=memory, at_once=at_once)
    is_less = memory is not None or at_once > 1
    assert (shared.tuning.memory < whole.tuning.memory) is is_less


def test_small_objects_are_read_and_written_under_the_jobs_role(memory_aws: aws.Store) -> None:
    wiring.write_object("s3://bucket/key", b"data")
    assert wiring.read_object(None, "s3://bucket/key", 4) == b"data"
    assert memory_aws.assumed == []
    with pytest.raises(UsageError, match=r"^s3://bucket/key: .* has 4 bytes, more than 3"):
        wiring.read_object(None, "s3://bucket/key", 3)
    with pytest.raises(UsageError, match=r"^s3://bucket/none: "):
        wiring.read_object(None, "s3://bucket/none", 3)
    memory_aws.hook = lambda _: aws.error(404, "NoSuchBucket")
    with pytest.raises(NotFound):
        wiring.write_object("s3://bucket/key", b"data")


@pytest.mark.parametrize("uri", ["key", "s3://"])
def test_what_is_no_uri_is_the_users_mistake(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        wiring.read_object(None, uri, 1)
    with pytest.raises(UsageError, match="bucket") as other:
        wiring.write_object(uri, b"")
    assert str(caught.value) == str(other.value)


def test_the_project_is_the_folder_of_the_spec(tmp_path: Path) -> None:
    spec = str(tmp_path / "a.yaml")
    assert wiring._find_project(load(steps(""), spec)) == tmp_path.resolve()
    assert wiring._find_project(load(steps(""), "s3://bucket/a.yaml")) == Path.cwd()


MOVES = "  - {id: m, action: s3.download, role: job, source: s3://bkt/x/, target: /tmp/x/}\n"


def test_workers_and_limits_are_for_steps_that_move_objects() -> None:
    sessions = wiring.build_sessions(None, "t-1")
    listing, moving = load(steps("")), load("steps:\n" + MOVES)
    assert wiring._list_transfer_roles(listing) == []
    assert wiring._list_transfer_roles(moving) == [JOB]
    assert wiring._create_processes(listing, sessions) is None
    assert wiring._create_processes(load("engine: boto3\nsteps:\n" + MOVES), sessions) is None
    assert wiring._find_limits(listing, 1) is None
    assert wiring._find_limits(moving, 1) is not None


@pytest.mark.parametrize(("count", "expected"), [(1, None), (2, 1)])
def test_this_process_is_one_of_those_that_move_objects(
    monkeypatch: pytest.MonkeyPatch, count: int, expected: int | None
) -> None:
    from rolerunner.storage.workers import forked

    asked: list[int] = []

    def choose(memory: int) -> int:
        asked.append(memory)
        return count

    monkeypatch.setattr(forked, "choose_process_count", choose)
    made = wiring._create_processes(
        load("memory: 128MiB\nsteps:\n" + MOVES), wiring.build_sessions(None, "t-1")
    )
    assert asked == [128 << 20]
    assert (made is None) is (expected is None)


@pytest.mark.parametrize(
    ("identity", "is_open"),
    [
        (None, True),
        (JobIdentity(), True),
        (JobIdentity("eu-west-1", keys=Keys("AKIAEXAMPLE", "kx-71ab-50", None)), False),
        (
            JobIdentity("eu-west-1", keys=Keys("AKIAEXAMPLE", "kx-71ab-50", None), is_shared=True),
            True,
        ),
    ],
)
def test_keys_reach_other_machines_only_if_they_are_shared(
    identity: JobIdentity | None, is_open: bool, tmp_path: Path
) -> None:
    sessions = wiring.build_sessions(None, "t-1")
    opener: Any = wiring.open_storage
    found = wiring._build_cluster_opener(identity, sessions, "t-1", opener, tmp_path)
    assert (found is not None) is is_open


def test_the_environment_of_a_run(memory_aws: aws.Store, tmp_path: Path) -> None:
    memory_aws.put("bucket", "key", b"x")
    made = wiring.build_environment(load("engine: boto3\n" + steps("")), None, "r-1", tmp_path)
    assert (made.workdir, made.project, made.observers) == (tmp_path, Path.cwd(), ())
    assert "s3.list" in made.actions
    storage: Any = made.open_storage(JOB, None, None)
    assert type(storage) is BotoEngine
    assert storage.read(S3Uri("bucket", "key"), 1) == b"x"
    with made.start_workers():
        made.cancel.stop_if_set()
