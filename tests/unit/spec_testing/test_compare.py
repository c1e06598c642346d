"""Tests how a case's expectations are compared."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.sandbox.messages import RecordedMessage
from rolerunner.sandbox.requests import RecordedRequest
from rolerunner.spec_testing.compare import ObservedRun, find_mismatches, find_steps
from tests.unit.spec_testing.samples import READER, SANDBOX, load

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class FakeAws:
    """The record of a run in a sandbox."""

    refused: list[RecordedRequest] = field(default_factory=list)
    taken: list[RecordedMessage] = field(default_factory=list)
    assumed: dict[str, int] = field(default_factory=dict)

    def requests(self) -> list[RecordedRequest]:
        return self.refused

    def messages(self) -> list[RecordedMessage]:
        return self.taken

    def assume_role_count(self) -> dict[str, int]:
        return self.assumed


ERROR = {"type": "AccessDenied", "message": "may not s3:ListBucket", "hint": "allow it"}
FIND = {
    "id": "find",
    "status": "failed",
    "error": ERROR,
    "attempts": 2,
    "outputs": {"count": 3, "latest": True},
}
ITEMS = [
    {
        "item": "north",
        "status": "succeeded",
        "steps": [{"id": "g[north].x", "status": "succeeded"}],
    },
    {"item": "south", "status": "failed", "steps": [{"id": "g[south].x", "status": "failed"}]},
]
GROUP = {"id": "g", "status": "failed", "items": ITEMS, "outputs": {"objects": {"n": [1, None]}}}


def mismatches(
    folder: Path,
    expect: Any,
    steps: Any = (FIND,),
    *,
    exit: Optional[int] = 4,  # noqa: A002
    aws: Optional[FakeAws] = None,
    log: tuple[str, ...] = (),
    status: str = "succeeded",
) -> list[tuple[str, str, str]]:
    """Returns the place, the expected and the seen value of each mismatch."""
    (case,) = load(folder, f"  - {{name: a, expect: {json.dumps(expect)}}}\n")
    seen: Any = aws or FakeAws()
    read = {"status": status, "steps": list(steps)} if status else {}
    run = ObservedRun(exit, read, log, seen)
    return [(each.what, each.expected, each.seen) for each in find_mismatches(case, run)]


def test_a_run_that_was_killed_has_one_mismatch(tmp_path: Path) -> None:
    ((what, expected, seen),) = mismatches(tmp_path, {"status": "succeeded"}, exit=None)
    assert (what, seen) == ("timeout", "the run was still running and was killed")
    assert expected.startswith("an end within ")


def test_the_end_of_a_run(tmp_path: Path) -> None:
    assert mismatches(tmp_path, {"status": "failed", "exit": 4}, status="failed") == []
    assert mismatches(tmp_path, {"status": "succeeded", "exit": 0}, status="failed") == [
        ("status", '"succeeded"', '"failed"'),
        ("exit", "0", "4"),
    ]
    assert mismatches(tmp_path, {"status": "failed"}, exit=2, status="") == [
        ("status", '"failed"', '"no result, exit status 2"')
    ]


@pytest.mark.parametrize(
    ("expected", "place", "seen"),
    [
        ({"status": "succeeded"}, "status", '"failed"'),
        ({"error": "NotFound"}, "error", '"AccessDenied"'),
        ({"message": "s3:GetObject"}, "message", '"may not s3:ListBucket"'),
        ({"hint": "deny"}, "hint", '"allow it"'),
        ({"reason": "when"}, "reason", "no text"),
        ({"attempts": 1}, "attempts", "2"),
        ({"outputs": {"count": 4}}, "outputs.count", "3"),
        ({"outputs": {"count": True}}, "outputs.count", "3"),
        ({"outputs": {"latest": 1}}, "outputs.latest", "true"),
        ({"outputs": {"bytes": 1}}, "outputs.bytes", '"no such output"'),
    ],
)
def test_a_step_that_is_not_as_expected(
    tmp_path: Path, expected: Any, place: str, seen: str
) -> None:
    ((what, _, found),) = mismatches(tmp_path, {"steps": {"find": expected}})
    assert (what, found) == (f"steps.find.{place}", seen)


def test_a_step_that_is_as_expected(tmp_path: Path) -> None:
    expected = {
        "status": "failed",
        "error": "Access*",
        "message": "may not*Bucket",
        "hint": "allow",
        "attempts": 2,
        "outputs": {"count": 3, "latest": True},
    }
    assert mismatches(tmp_path, {"steps": {"find": expected}}) == []


def test_a_step_without_a_result(tmp_path: Path) -> None:
    expect = {"steps": {"find": {"status": "succeeded", "attempts": 1}}}
    assert mismatches(tmp_path, expect, steps=()) == [
        ("steps.find.status", '"succeeded"', '"no such step in the result"'),
        ("steps.find.attempts", "1", "0"),
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("g", ["g"]),
        ("g[north]", ["north"]),
        ("g[#1]", ["south"]),
        ("g.x", ["g[north].x", "g[south].x"]),
        ("g[south].x", ["g[south].x"]),
        ("g[west].x", [None]),
        ("g[west]", [None]),
        ("g.y", [None]),
        ("other", [None]),
    ],
)
def test_the_results_that_a_name_stands_for(name: str, found: list[Optional[str]]) -> None:
    steps = find_steps(name, [GROUP])
    assert [step.get("id", step.get("item")) for _, step in steps] == found


@pytest.mark.parametrize(
    ("outputs", "seen"),
    [
        ({"objects": {"n": [1, None]}}, []),
        ({"objects": {"n": [2, None]}}, [("outputs.objects.n", "[2, null]", "[1, null]")]),
        ({"objects": {"m": 1}}, [("outputs.objects.m", "1", '"no such output"')]),
        ({"folders": {"m": 1}}, [("outputs.folders.m", "1", '"no such output"')]),
        ({"objects": 1}, [("outputs.objects", "1", '{"n": [1, null]}')]),
    ],
)
def test_the_outputs_of_a_group_are_those_of_its_steps(
    tmp_path: Path, outputs: Any, seen: list[tuple[str, str, str]]
) -> None:
    expect = {"steps": {"find": {"outputs": outputs}}}
    group = {**GROUP, "id": "find"}
    found = mismatches(tmp_path, expect, steps=(group,))
    assert found == [(f"steps.find.{what}", *values) for what, *values in seen]


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ({"text": "hello"}, []),
        ({"text": "hell"}, [("text", '"hell"', '"hello"')]),
        ({"contains": "l*o"}, []),
        ({"contains": "x"}, [("contains", 'a text with "x"', '"hello"')]),
        ({"size": 4}, [("size", "4", "5")]),
        ({"gzip": "hello"}, [("gzip", '"hello"', '"not gzip: 5 bytes"')]),
        ({"json": 1}, [("json", "1", '"not JSON: hello"')]),
        ({"file": "same.txt"}, []),
        ({"file": "other.txt"}, [("file", "the bytes of other.txt", "5 other bytes")]),
        ({"absent": True}, [("", "nothing there", "5 bytes")]),
    ],
)
def test_a_file_that_a_run_leaves(
    tmp_path: Path, expected: Any, seen: list[tuple[str, str, str]]
) -> None:
    (tmp_path / "same.txt").write_text("hello")
    (tmp_path / "other.txt").write_text("other")
    (case,) = load(tmp_path, "  - {name: a}\n")
    case.folder.mkdir(parents=True, exist_ok=True)
    (case.folder / "out").write_text("hello")
    found = mismatches(tmp_path, {"files": {"out": expected}})
    assert found == [(f"files.out.{what}".rstrip("."), *values) for what, *values in seen]


def test_compressed_and_json_content(tmp_path: Path) -> None:
    (case,) = load(tmp_path, "  - {name: a}\n")
    case.folder.mkdir(parents=True, exist_ok=True)
    (case.folder / "out.gz").write_bytes(gzip.compress(b"hello"))
    (case.folder / "out.json").write_text('{"a": null}')
    expect = {"files": {"out.gz": {"gzip": "hello"}, "out.json": {"json": {"a": None}}}}
    assert mismatches(tmp_path, expect) == []
    expect = {"files": {"out.gz": {"gzip": "x"}, "out.json": {"json": None}}}
    assert [what for what, _, _ in mismatches(tmp_path, expect)] == [
        "files.out.gz.gzip",
        "files.out.json.json",
    ]


def test_files_that_are_missing_and_folders(tmp_path: Path) -> None:
    (case,) = load(tmp_path, "  - {name: a}\n")
    (case.folder / "d").mkdir(parents=True, exist_ok=True)
    (case.folder / "d" / "x").touch()
    (case.folder / "empty").mkdir()
    files = {"d/": {"count": 1, "names": ["x"]}, "no": {"absent": True}, "empty/": {"absent": True}}
    assert mismatches(tmp_path, {"files": files}) == []
    files = {
        "d/": {"count": 2, "names": ["y"]},
        "no": {"text": "x"},
        "empty/": {},
    }
    assert mismatches(tmp_path, {"files": files}) == [
        ("files.d/.count", "2", "1"),
        ("files.d/.names", '["y"]', '["x"]'),
        ("files.no", "something there", "nothing there"),
        ("files.empty/", "something there", "nothing there"),
    ]
    assert mismatches(tmp_path, {"files": {"d/": {"absent": True}}}) == [
        ("files.d/", "nothing there", "1: x")
    ]


def test_assumed_roles_are_counted(tmp_path: Path) -> None:
    aws = FakeAws(assumed={READER: 1})
    assert mismatches(tmp_path, {"assume_role": {"reader": 1}}, aws=aws) == []
    assert mismatches(tmp_path, {"assume_role": {"reader": 2}}, aws=aws) == [
        ("assume_role.reader", "2", "1")
    ]
    assert mismatches(tmp_path, {"assume_role": {"reader": 1}}) == [
        ("assume_role.reader", "1", "0")
    ]


SESSION = "arn:aws:sts::444455556666:assumed-role/reader/r"


def refuse(
    operation: str = "ListObjectsV2", service: str = "s3", caller: str = SESSION, **parameters: str
) -> RecordedRequest:
    return RecordedRequest(service, operation, caller, "eu-west-1", parameters, "AccessDenied")


@pytest.mark.parametrize(
    ("expected", "is_met"),
    [
        ({"role": "reader"}, True),
        ({"role": READER, "operation": "ListObjectsV2"}, True),
        ({"role": "reader", "operation": "s3:ListObjectsV2"}, True),
        ({"role": "reader", "bucket": "land*"}, True),
        ({"role": "reader", "bucket": "landing", "key": ""}, True),
        ({"role": "job"}, False),
        ({"role": "reader", "operation": "GetObject"}, False),
        ({"role": "reader", "bucket": "other"}, False),
        ({"role": "reader", "key": "in/*"}, False),
    ],
)
def test_a_refusal_that_is_expected(tmp_path: Path, expected: Any, is_met: bool) -> None:
    aws = FakeAws([refuse(Bucket="landing")])
    found = mismatches(tmp_path, {"refusals": [expected]}, aws=aws)
    assert (found == []) is is_met
    if not is_met:
        assert [each[2] for each in found] == ["not refused", "reader ListObjectsV2 landing"]


def test_refusals_that_nobody_expects(tmp_path: Path) -> None:
    requests = [
        refuse("GetRole", "iam"),
        refuse(caller="arn:aws:iam::444455556666:root"),
        RecordedRequest("s3", "GetObject", SESSION, "eu-west-1", {}, ""),
    ]
    assert mismatches(tmp_path, {"refusals": []}, aws=FakeAws(requests)) == []
    requests += [refuse(Bucket="b", Key="k"), refuse(Bucket="b", Key="k")]
    assert mismatches(tmp_path, {"refusals": []}, aws=FakeAws(requests)) == [
        ("refusals", "none", "reader ListObjectsV2 b/k")
    ]


def test_lines_of_the_log_and_messages(tmp_path: Path) -> None:
    targets = 'topics: [{arn: "arn:aws:sns:eu-west-1:111122223333:ops"}]\n'
    targets += 'queues: [{arn: "arn:aws:sqs:eu-west-1:111122223333:ops"}]\n'
    (tmp_path / "job.sandbox.yaml").write_text(SANDBOX + targets)
    topic = "arn:aws:sns:eu-west-1:111122223333:ops"
    aws = FakeAws(taken=[RecordedMessage(topic, "the reason", "nightly failed")])
    expect: Any = {"messages": {"log": ["counted*3"], "topics": {"ops": ["failed*reason"]}}}
    assert mismatches(tmp_path, expect, aws=aws, log=("counted all 3",)) == []
    assert mismatches(tmp_path, expect, log=("x", "y")) == [
        ("messages", 'a line with "counted*3"', "none of 2 lines"),
        ("messages.topics.ops", '["failed*reason"]', "no other message"),
    ]
    expect = {"messages": {"topics": {topic: []}, "queues": {"ops": []}}}
    assert mismatches(tmp_path, expect, aws=aws) == [
        (f"messages.topics.{topic}", "no other message", '["nightly failed\\nthe reason"]')
    ]
