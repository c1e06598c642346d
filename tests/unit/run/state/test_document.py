"""The state document: what is read, what is refused and how that is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner.common.json_values import MAX_DEPTH
from rolerunner.errors import UsageError
from rolerunner.run.state.document import is_moment, is_plain, parse_document
from rolerunner.run.work_notes import WorkNote

MOMENT = "2026-01-01T00:00:00.000+00:00"
DIGEST = "a" * 64
LIST = {
    "name": "j/k/a-1-x.jsonl",
    "sha256": DIGEST,
    "prefix": ["b", "in/"],
    "count": 1,
    "bytes": 2,
    "flat": True,
}
TOO_DEEP = json.loads("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
NOTE = {"step": "a", "run_id": "r", "fingerprint": {"n": "1"}, "needs": ["b"], "text": "query-1"}
LEFT = {"host": "h", "name": "j/k/a-left-x.jsonl", "count": 1, "bytes": 2, "sha256": DIGEST}


def entry(**more: Any) -> dict[str, Any]:
    plain = {"status": "succeeded", "outputs": {"n": 1}, "fingerprint": {"x": "y"}, "run_id": "r"}
    return {**plain, **more}


def document(**more: Any) -> dict[str, Any]:
    holder = {
        "run_id": "r",
        "host": "h",
        "pid": 1,
        "since": MOMENT,
        "renewed": MOMENT,
        "stale_after": 120.0,
    }
    return {
        "version": 1,
        "job": "j",
        "key": "k",
        "started": MOMENT,
        "holder": {**holder, **more.pop("holder", {})},
        "steps": {"a": entry(**more.pop("step", {}))},
        **more,
    }


def test_notes_of_started_work_are_read() -> None:
    assert parse(document(started_work={"x": NOTE})).notes == {
        "x": WorkNote("a", "r", {"n": "1"}, ("b",), "query-1")
    }


def parse(value: Any) -> Any:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_document(data, "j/k.json", "j", "k")


def test_steps_inside_groups_are_of_the_second_version() -> None:
    steps = {"a": entry(), "g[a].x": entry(), "g[#2].x": entry()}
    assert list(parse(document(version=2, steps=steps)).steps) == list(steps)


def message_of(value: Any) -> str:
    with pytest.raises(UsageError) as refused:
        parse(value)
    return str(refused.value)


def test_a_document_is_read() -> None:
    lists = {"n": 1, "objects": {"$objects": LIST}, "each": [[{"$objects": LIST}]]}
    step = {"outputs": lists, "left": LEFT, "seconds": 0.5, "status": "warning"}
    read = parse(document(step=step, begun={"b": "r"}, holder={"pid_scope": "s"}))
    assert (read.started, read.begun, read.holder.pid_scope) == (MOMENT, {"b": "r"}, "s")
    assert read.steps["a"]["outputs"] == lists
    assert json.loads(read.texts["a"]) == entry(**step)


@pytest.mark.parametrize(
    "more",
    [
        {"holder": {"pid": 0}},
        {"holder": {"pid": 2**31 - 1}},
        {"holder": {"stale_after": 1}},
        {"holder": {"run_id": "", "since": "", "renewed": ""}},
        {"step": {"seconds": 0}},
        {"step": {"left": None}},
        {"step": {"outputs": {}}},
        {"step": {"outputs": {"x": {"$objects": {**LIST, "count": 0, "bytes": 0}}}}},
        {"holder": {"stale_after": 999_999_999_999.5}},
        {"step": {"outputs": {"x": {"$objects": {k: LIST[k] for k in LIST if k != "sha256"}}}}},
        {"step": {"outputs": {"x": {"$objects": 1, "more": 2}}}},
    ],
    ids=str,
)
def test_values_at_their_bounds_are_read(more: dict[str, Any]) -> None:
    assert parse(document(**more)).steps["a"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff", "it is not UTF-8"),
        (b"{", "it is not JSON (Expecting"),
        (b'{"a": 1, "a": 2}', "it has a duplicate key"),
        (b'{"a": NaN}', "'NaN' is not JSON"),
        (b"[" * 100_000, "it is nested too deeply"),
        ([], "it is not an object"),
        ({}, "'version' is None"),
        (document(version=0), "'version' is 0"),
        (document(version=True), "'version' is True"),
        (document(version="1"), "'version' is '1'"),
        ({"version": 1}, "it has no 'holder'"),
        (document(job="other"), "it is of job 'other', key 'k'"),
        (document(key="other"), "it is of job 'j', key 'other'"),
        (document(started="x"), "'started' is 'x', which is not a time"),
        (document(started="2026-01-01"), "'started' is '2026-01-01', which is not a time"),
        (document(begun=[]), "'begun' is not an object of texts"),
        (document(begun={"a": 1}), "'begun' is not an object of texts"),
        (document(steps=[]), "'steps' is not an object"),
        (document(steps={"/": entry()}), "the step '/' has no name of a step"),
        (document(steps={"g[a].x": entry()}), "the step 'g[a].x' has no name of a step"),
        (document(version=2, steps={"g[/].x": entry()}), "the step 'g[/].x' has no name of a"),
        (document(steps={"a": []}), "the step 'a' is not an object"),
        (document(steps={"a": {}}), "the step 'a' has no 'fingerprint'"),
        ({**document(), "holder": []}, "'holder' is not an object"),
        ({**document(), "holder": {}}, "'holder' has no 'host'"),
        (document(holder={"host": 1}), "'holder.host' is not a text"),
        (document(holder={"pid_scope": 1}), "'holder.pid_scope' is not a text"),
        (document(holder={"pid": -1}), "'holder.pid' is -1"),
        (document(holder={"pid": 2**31}), f"'holder.pid' is {2**31}"),
        (document(holder={"pid": True}), "'holder.pid' is True"),
        (document(holder={"stale_after": 0}), "'holder.stale_after' is 0"),
        (document(holder={"stale_after": True}), "'holder.stale_after' is True"),
        (document(holder={"stale_after": 1e12}), "'holder.stale_after' is 1000000000000.0"),
        (document(holder={"since": "x"}), "'holder.since' is 'x', which is not a time"),
        (document(holder={"renewed": ""}), "'holder.renewed' is '', which is not a time"),
        (document(step={"status": "failed"}), "the step 'a' has the status 'failed'"),
        (document(step={"run_id": 1}), "the step 'a' has no run id"),
        (document(step={"seconds": True}), "the step 'a' took True seconds"),
        (document(step={"seconds": "1"}), "the step 'a' took '1' seconds"),
        (document(step={"seconds": -1}), "the step 'a' took -1 seconds"),
        (document(step={"fingerprint": []}), "the fingerprint of the step 'a' is not an object"),
        (document(step={"fingerprint": {"a": 1}}), "the fingerprint of the step 'a' is not"),
        (document(step={"outputs": []}), "the outputs of the step 'a' are not an object"),
        (document(step={"outputs": {"x": {"$objects": 1}}}), "a list of the step 'a' is not an"),
        (document(step={"outputs": {"x": TOO_DEEP}}), "the outputs of the step 'a' are not JSON: "),
        (document(started_work=[]), "'started_work' is not an object"),
        (document(started_work={"x": []}), "'started_work.x' is not an object"),
        (document(started_work={"x": {}}), "'started_work.x' has no 'fingerprint'"),
        (document(started_work={"x": {**NOTE, "text": 1}}), "'started_work.x' is not a note"),
        (document(started_work={"x": {**NOTE, "needs": "a"}}), "'started_work.x' is not a note"),
        (document(started_work={"x": {**NOTE, "needs": [1]}}), "'started_work.x' is not a note"),
        (document(started_work={"x": {**NOTE, "fingerprint": []}}), "is not a note about work"),
        (document(started_work={"x": {**NOTE, "fingerprint": {"a": 1}}}), "is not a note about"),
        (document(step={"left": []}), "what the step 'a' left is not an object"),
        (document(step={"left": {**LEFT, "host": 1}}), "what the step 'a' left has no host"),
        (document(step={"left": {**LEFT, "sha256": "A" * 64}}), "has the digest 'AAA"),
        (document(step={"left": {**LEFT, "sha256": None}}), "has the digest None"),
        (document(step={"left": {k: LEFT[k] for k in LEFT if k != "sha256"}}), "has no 'sha256'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_damaged_document_is_refused_with_the_place(value: Any, reason: str) -> None:
    told = message_of(value)
    assert told.startswith("the state j/k.json is damaged: ")
    assert reason in told
    assert told.endswith("it was not changed. Restore it, or remove it to start again")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"name": "j/k/b-1-x.jsonl"}, "has the name 'j/k/b-1-x.jsonl', which is outside of j/k/a"),
        ({"name": "j/k/a-/../x"}, "outside of j/k/a"),
        ({"name": f"j/k/a-{'x' * 254}"}, "outside of j/k/a"),
        ({"name": "j/k/a-\0"}, "outside of j/k/a"),
        ({"name": 1}, "has the name 1"),
        ({"count": -1}, "has a 'count' of -1"),
        ({"bytes": 1.0}, "has a 'bytes' of 1.0"),
        ({"count": True}, "has a 'count' of True"),
        ({"flat": 1}, "has a 'flat' that is neither true nor false"),
        ({"prefix": ["b"]}, "has the prefix ['b']"),
        ({"prefix": ["b", 1]}, "has the prefix ['b', 1]"),
        ({"prefix": "ab"}, "has the prefix 'ab'"),
        ({"sha256": None}, "has the digest None"),
        ({"sha256": DIGEST[1:]}, f"has the digest '{DIGEST[1:]}'"),
        ({"sha256": f"{DIGEST}\n"}, "has the digest"),
    ],
    ids=str,
)
def test_a_damaged_reference_to_a_list_is_refused(more: dict[str, Any], reason: str) -> None:
    for outputs in (
        {"x": {"$objects": {**LIST, **more}}},
        {"x": [[{"$objects": {**LIST, **more}}]]},
    ):
        told = message_of(document(step={"outputs": outputs}))
        assert f"a list of the step 'a' {reason.partition('has')[1]}" in told
        assert reason in told


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (document(version=3), "has version 3, and this release reads versions 1 and 2"),
        (document(more=1), "it has 'more'"),
        (document(holder={"more": 1}), "'holder' has 'more'"),
        (document(step={"more": 1}), "the step 'a' has 'more'"),
        (document(step={"left": {**LEFT, "more": 1}}), "what the step 'a' left has 'more'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_document_of_a_newer_release_is_left_to_it(value: Any, reason: str) -> None:
    told = message_of(value)
    assert reason in told
    assert told.endswith("use the release of rolerunner that wrote it; it was not changed")


def test_a_long_value_is_cut_in_the_message() -> None:
    fits, long = "x" * 78, "x" * 79
    assert f"'started' is '{fits}', which" in message_of(document(started=fits))
    assert f"'started' is '{'x' * 76}..., which" in message_of(document(started=long))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MOMENT, True),
        ("2026-01-01T00:00:00", False),
        ("x", False),
        (1, False),
        (None, False),
    ],
)
def test_a_moment_has_an_offset(value: Any, expected: bool) -> None:
    assert is_moment(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, "x"]}, True),
        (float("nan"), False),
        pytest.param({"a": object()}, False, id="another object"),
        ({"a": {1: 2}}, False),
        ({"$objects": 1}, False),
        ([{"x": ({"$objects": 1},)}], False),
        ({"$objects": 1, "more": 2}, True),
    ],
    ids=str,
)
def test_plain_values_survive_a_document(value: Any, expected: bool) -> None:
    assert is_plain(value) is expected
