"""The same work by rolerunner and by aws-cli, s5cmd or rclone leaves the same behind."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rolerunner import api, sandbox
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from tests.conftest import identity_of
from tests.peer_cases import (
    Case,
    File,
    Glob,
    Places,
    Tree,
    build_command,
    build_step,
    draw_case,
)
from tests.peers import Ended, Peers, serve_folder, start_peers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import StepResult

pytestmark = [pytest.mark.slow, pytest.mark.once]

SEEDS = [int(each) for each in os.environ.get("ROLERUNNER_PEER_SEEDS", "").split()] or [*range(14)]
"""The seeds of the cases; CI takes few of them."""
JOB = "arn:aws:iam::111122223333:role/job"
BUCKETS = [{"name": each, "account": "111122223333"} for each in ("left", "right", "kept")]
WORLD = f"""
version: 1
job_role: {JOB}
roles: [{{arn: "{JOB}", permissions: [{{Effect: Allow, Action: "s3:*", Resource: "*"}}]}}]
buckets: {json.dumps(BUCKETS)}
"""


@dataclass
class Bench:
    """A server, the client that prepares and reads it, and the tools that work on it."""

    s3: Any
    identity: JobIdentity
    peers: Peers
    folder: Path
    root: str = ""
    """The folder with the server's buckets, if they are folders: then its objects have ages."""

    def run_step(self, case: Case, step: dict[str, Any]) -> StepResult:
        """Runs the step with rolerunner."""
        path = self.folder / "job.yaml"
        spec = {"version": 1, "name": "t", "engine": case.engine}
        path.write_text(json.dumps({**spec, "steps": [{"id": "it", "role": "job", **step}]}))
        return api.run(api.load(path), identity=self.identity).steps[0]

    def write(self, place: str, tree: Tree, links: dict[str, str]) -> None:
        """Writes files to a folder, or objects below ``BUCKET/PREFIX/``."""
        place = self._locate(place)
        for name, file in tree.items():
            if place.startswith("/"):
                path = Path(place, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.data)
                os.utime(path, (time.time() - file.age,) * 2)
            else:
                bucket, _, prefix = place.partition("/")
                self.s3.put_object(Bucket=bucket, Key=prefix + name, Body=file.data)
        for name, target in links.items():
            Path(place, name).symlink_to(target)

    def _locate(self, place: str) -> str:
        return f"{self.root}/{place}" if self.root and not place.startswith("/") else place

    def read(self, place: str) -> dict[str, bytes]:
        """Returns the files of a folder, or the objects below ``BUCKET/PREFIX/``."""
        place = self._locate(place)
        if place.startswith("/"):
            folder = Path(place)
            files = [each for each in folder.rglob("*") if each.is_file()]
            return {str(each.relative_to(folder)): each.read_bytes() for each in files}
        bucket, _, prefix = place.partition("/")
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {
            each["Key"][len(prefix) :]: self.s3.get_object(Bucket=bucket, Key=each["Key"])[
                "Body"
            ].read()
            for each in listed
        }


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("peers")
    (folder / "world.yaml").write_text(WORLD)
    with sandbox.start_sandbox(sandbox.load_world(folder / "world.yaml")) as aws:
        keys = aws.job_keys
        with (
            start_peers(folder, aws.endpoint, aws.region, keys) as peers,
            connect(aws.endpoint, aws.region, keys) as s3,
        ):
            yield Bench(s3, identity_of(aws), peers, folder)


@pytest.fixture(scope="module")
def bench_with_ages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("ages")
    root = folder / "buckets"
    for each in BUCKETS:
        (root / each["name"]).mkdir(parents=True)
    keys = Keys("key-id", "secret-key")
    region = "eu-west-1"
    with serve_folder(root, "key-id,secret-key") as endpoint:
        identity = JobIdentity(region, keys=keys, endpoints={"": endpoint})
        with start_peers(folder, endpoint, region, keys) as peers:
            yield Bench(None, identity, peers, folder, str(root))


@contextmanager
def connect(endpoint: str, region: str, keys: Any) -> Iterator[Any]:
    """Yields a client of the server."""
    s3 = boto3.client(
        "s3",
        region,
        endpoint_url=endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
    )
    yield s3
    s3.close()


def locate(case: Case, who: str, folder: Path) -> Places:
    """Returns the places of a case, which are other ones for each tool and seed."""
    name = f"{who}-{case.seed}"
    local = {"upload": "source", "download": "target"}.get(case.work)
    return Places(
        f"{folder}/{name}/source/" if local == "source" else f"left/{name}/",
        f"{folder}/{name}/target/" if local == "target" else f"right/{name}/",
        f"kept/{name}/",
        f"{folder}/{name}-names",
    )


def prepare(bench: Bench, case: Case, places: Places, *, is_peer: bool) -> None:
    """Puts there what the case begins with."""
    for place in (places.source, places.target):
        if place.startswith("/"):
            Path(place).mkdir(parents=True)
    is_later = case.work == "copy" and case.mode in ("newer", "size_mtime") and case.seed % 2
    if is_later:  # than the target, by S3's whole seconds
        bench.write(places.target, case.target, {})
        time.sleep(1.1)
    bench.write(places.source, case.source, case.links)
    if not is_later:
        bench.write(places.target, case.target, {})
    above = "" if is_peer else places.source.partition("/")[2]  # our lists have whole keys
    Path(places.names).write_text("".join(f"{above}{each}\n" for each in case.listed))


def observe(bench: Bench, places: Places) -> dict[str, dict[str, bytes]]:
    """Returns what is there afterwards."""
    return {
        "source": bench.read(places.source),
        "target": bench.read(places.target),
        "backup": bench.read(places.backup),
    }


def describe(step: StepResult) -> str:
    error = step.error
    return f"{step.status} {step.outputs} {error.type if error else ''} {error and error.message}"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_is_left_behind(bench: Bench, seed: int) -> None:
    compare(bench, draw_case(seed))


@pytest.mark.parametrize("seed", SEEDS[: max(6, len(SEEDS) // 2)])
def test_the_same_is_left_behind_by_age(bench_with_ages: Bench, seed: int) -> None:
    compare(bench_with_ages, draw_case(seed, ages=True))


CSV = (Glob(("**/*.csv",), ("*.csv",), ("*.csv",)),)
"""The properties that no object of the differences below has."""


@dataclass(frozen=True)
class Difference:
    """A work of which each tool leaves something else in the target, by design."""

    case: Case
    own: dict[str, bytes]
    theirs: dict[str, bytes]


def describe_case(work: str, peer: str, source: Tree, target: Tree, **options: Any) -> Case:
    mode = options.pop("mode", "size")
    return Case(options.pop("seed"), work, peer, mode, source, target, "fast", **options)


BIG = b"more than ten"
DIFFERENCES = {
    "limits of sizes protect nothing": Difference(
        describe_case(
            "copy",
            "rclone",
            {"a": File(b"1"), "grown": File(BIG)},
            {"grown": File(b"2"), "extra": File(BIG)},
            seed=-1,
            delete_extra=True,
            max_size=10,
        ),
        own={"a": b"1", "grown": b"2"},
        theirs={"a": b"1", "extra": BIG},
    ),
    "nothing is deleted where nothing is selected": Difference(
        describe_case(
            "copy",
            "rclone",
            {"a": File(b"1")},
            {"extra.csv": File(b"2")},
            seed=-2,
            delete_extra=True,
            include=CSV,
        ),
        own={"extra.csv": b"2"},
        theirs={},
    ),
    "what is newer on the disk is kept": Difference(
        describe_case(
            "download",
            "aws",
            {"a": File(b"1")},
            {"a": File(b"2", age=-7200)},
            seed=-3,
            mode="size_mtime",
        ),
        own={"a": b"2"},
        theirs={"a": b"1"},
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_differs_by_design(bench: Bench, name: str) -> None:
    difference = DIFFERENCES[name]
    case = difference.case
    own, theirs = (locate(case, who, bench.folder) for who in ("own", case.peer))
    for places in (own, theirs):
        prepare(bench, case, places, is_peer=places is theirs)
    assert bench.run_step(case, build_step(case, own)).error is None
    assert bench.peers.run(*build_command(case, theirs)).status == 0
    found = bench.read(own.target), bench.read(theirs.target)
    assert found == (difference.own, difference.theirs)


def test_a_limit_holds_for_the_sources_object(bench: Bench) -> None:
    source, target = {"grown": File(b"1")}, {"grown": File(BIG)}
    case = describe_case("verify", "rclone", source, target, seed=-5, max_size=10)
    own, theirs = (locate(case, who, bench.folder) for who in ("own", case.peer))
    for places in (own, theirs):
        prepare(bench, case, places, is_peer=places is theirs)
    found = count_differences(bench.run_step(case, build_step(case, own)))
    bench.peers.run(*build_command(case, theirs))
    assert (found["differ"], found["missing-on-dst"]) == (1, 0)
    assert (read_check(theirs)["differ"], read_check(theirs)["missing-on-dst"]) == (0, 1)


def test_a_limit_of_deletions_stops_before_the_first(bench: Bench) -> None:
    target = {name: File(b"2") for name in ("x", "y", "z")}
    case = describe_case("copy", "rclone", {"a": File(b"1")}, target, seed=-4, delete_extra=True)
    own, theirs = (locate(case, who, bench.folder) for who in ("own", case.peer))
    for places in (own, theirs):
        prepare(bench, case, places, is_peer=places is theirs)
    result = bench.run_step(case, {**build_step(case, own), "max_delete": 2})
    assert result.error is not None
    assert result.error.type == "MaxDelete"
    ended = bench.peers.run(*build_command(case, theirs), "--max-delete", "2", "--retries", "1")
    assert ended.status != 0
    assert len(bench.read(own.target)) == 3
    assert len(bench.read(theirs.target)) < 4, "a, and what is left of x, y and z"


def compare(bench: Bench, case: Case) -> None:
    own, theirs = (locate(case, who, bench.folder) for who in ("own", case.peer))
    for places in (own, theirs):
        prepare(bench, case, places, is_peer=places is theirs)
    step, command = build_step(case, own), build_command(case, theirs)
    result = bench.run_step(case, step)
    ended = bench.peers.run(*command)
    said = f"\n{json.dumps(step)}\n{describe(result)}\n{' '.join(command)}\n{ended}"
    if case.mode == "immutable":  # each tool fails for what differs, and does the rest
        assert (result.error is None) == (ended.status == 0), said
    else:
        assert result.error is None, said
    if case.work == "list":
        keys = [each.key.partition("/")[2] for each in result.outputs["objects"]]
        assert read_listing(case, ended) == sorted(keys), said
    elif case.work == "verify":
        assert read_check(theirs) == count_differences(result), said
    elif case.mode != "immutable":
        assert ended.status == 0, said
    expected, found = observe(bench, theirs), observe(bench, own)
    if case.delete_extra and selects_nothing(result):
        # by design: where a step selects nothing, it deletes nothing
        expected["target"] = {name: file.data for name, file in case.target.items()}
        expected["backup"] = {}
    for place, tree in expected.items():
        assert found[place] == tree, place + said


def selects_nothing(result: StepResult) -> bool:
    found = result.outputs
    return result.error is None and found["count"] + found["skipped"] == 0


def read_listing(case: Case, ended: Ended) -> list[str]:
    """Returns the names that a tool lists."""
    lines = ended.output.splitlines()
    if case.peer == "aws":
        lines = [line[31:].partition("/")[2] for line in lines]
    elif case.peer == "s5cmd":
        lines = [line[39:] for line in lines]
    return sorted(lines)


def read_check(places: Places) -> dict[str, int]:
    """Returns the numbers of names in the reports of ``rclone check``."""
    reports = ("missing-on-src", "missing-on-dst", "differ", "match")
    return {each: len(Path(f"{places.names}.{each}").read_text().splitlines()) for each in reports}


def count_differences(result: StepResult) -> dict[str, int]:
    """Returns the same numbers of s3.verify."""
    names = ("extra_count", "missing_count", "different_count", "same")
    reports = ("missing-on-src", "missing-on-dst", "differ", "match")
    return dict(zip(reports, (result.outputs[each] for each in names)))
