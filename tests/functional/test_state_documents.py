"""Damaged, edited, newer and older state documents: one clear error, and nothing is overwritten."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import UsageError
from rolerunner.run.state.document import parse_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.model import RunResult
    from tests.memory_aws import Store

ENTRY = {
    "status": "succeeded",
    "outputs": {"value": 1},
    "fingerprint": {"action": "x"},
    "run_id": "r",
    "seconds": 0.1,
}
LISTED = {"name": "t/k/a-1-00.jsonl", "prefix": ["b", "p/"], "count": 1, "bytes": 1, "flat": False}
LEFT = {"host": "h", "name": "t/k/a-left-00.jsonl", "count": 1, "bytes": 1, "sha256": "0" * 64}
HOLDER = {"run_id": "", "host": "", "pid": 0, "since": "", "renewed": "", "stale_after": 120.0}


def document(**changes: Any) -> dict[str, Any]:
    whole = {
        "version": 1,
        "job": "t",
        "key": "k",
        "started": "2026-01-01T00:00:00.000+00:00",
        "holder": HOLDER,
        "steps": {"a": ENTRY},
    }
    return {name: value for name, value in {**whole, **changes}.items() if value != "DROP"}


def document_with_entry(**changes: Any) -> dict[str, Any]:
    return document(
        steps={
            "a": {name: value for name, value in {**ENTRY, **changes}.items() if value != "DROP"}
        }
    )


def document_with_list(**changes: Any) -> dict[str, Any]:
    return document_with_entry(outputs={"objects": {"$objects": {**LISTED, **changes}}})


def nest_lists(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


WRONG: dict[str, Any] = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"version": 1, "job": "\xff"}',
    "UTF-16": json.dumps(document()).encode("utf-16"),
    "no object": [],
    "nested": b"[" * 100_000,
    "nested outputs": document_with_entry(outputs={"value": nest_lists(500)}),
    "NaN": b'{"version": NaN}',
    "endless": json.dumps(document()).replace("0.1", "1e999").encode(),
    "a digit too many": b'{"version": ' + b"9" * 5000 + b"}",
    "a key twice": json.dumps(document())
    .replace('"version": 1', '"version": 1, "version": 1')
    .encode(),
    "no version": document(version="DROP"),
    "version true": document(version=True),
    "version text": document(version="1"),
    "version 0": document(version=0),
    "version deep": document(version=nest_lists(900)),
    "another job": document(job="u"),
    "another key": document(key="l"),
    "no moment": document(started="yesterday"),
    "a moment of no zone": document(started="2026-01-01T00:00:00"),
    "moment number": document(started=5),
    "no holder": document(holder="DROP"),
    "holder list": document(holder=[]),
    "holder null": document(holder=None),
    "pid text": document(holder={**HOLDER, "pid": "5"}),
    "pid huge": document(holder={**HOLDER, "pid": 10**30}),
    "pid -1": document(holder={**HOLDER, "pid": -1}),
    "pid true": document(holder={**HOLDER, "pid": True}),
    "stale_after 0": document(holder={**HOLDER, "stale_after": 0}),
    "stale_after huge": document(holder={**HOLDER, "stale_after": 10**400}),
    "no run id": document(holder={**HOLDER, "run_id": 5}),
    "renewed nonsense": document(
        holder={**HOLDER, "run_id": "r", "since": "2026-01-01T00:00:00+00:00", "renewed": "x"}
    ),
    "steps list": document(steps=[ENTRY]),
    "steps null": document(steps=None),
    "step text": document(steps={"a": "done"}),
    "a step of no name": document(steps={"../a": ENTRY}),
    "no status": document_with_entry(status="DROP"),
    "status unknown": document_with_entry(status="failed"),
    "outputs list": document_with_entry(outputs=[1]),
    "outputs text": document_with_entry(outputs="x"),
    "fingerprint list": document_with_entry(fingerprint=[]),
    "fingerprint of numbers": document_with_entry(fingerprint={"a": 1}),
    "seconds text": document_with_entry(seconds="1"),
    "seconds negative": document_with_entry(seconds=-1),
    "list text": document_with_entry(outputs={"objects": {"$objects": "x"}}),
    "list in a list": document_with_entry(outputs={"objects": [[{"$objects": 5}]]}),
    "list outside": document_with_list(name="../../etc/passwd"),
    "list of another key": document_with_list(name="t/l/a-1-00.jsonl"),
    "list absolute": document_with_list(name="/etc/passwd"),
    "list below": document_with_list(name="t/k/a-1/../../../x"),
    "list NUL": document_with_list(name="t/k/a-\0"),
    "list name number": document_with_list(name=5),
    "prefix text": document_with_list(prefix="b/p"),
    "prefix of three": document_with_list(prefix=["a", "b", "c"]),
    "count text": document_with_list(count="1"),
    "count negative": document_with_list(count=-1),
    "count true": document_with_list(count=True),
    "bytes null": document_with_list(bytes=None),
    "flat text": document_with_list(flat="no"),
    "digest short": document_with_list(sha256="00"),
    "digest null": document_with_list(sha256=None),
    "left list": document_with_entry(left=[]),
    "left outside": document_with_entry(left={**LEFT, "name": "x"}),
    "left host": document_with_entry(left={**LEFT, "host": 1}),
    "begun list": document(begun=["a"]),
    "begun numbers": document(begun={"a": 1}),
    "huge": b" " * ((64 << 20) + 1),
}
NEWER = {
    "version 3": document(version=3),
    "version 99": document(version=99, steps={}, future={"must": "keep"}),
    "a field": document(future=1),
    "a field of the holder": document(holder={**HOLDER, "lease": 1}),
    "a field of a step": document_with_entry(cost=1),
    "a field of a list": document_with_list(codec="zstd"),
    "a field of what is left": document_with_entry(left={**LEFT, "codec": "zstd"}),
}


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "doc_code.py").write_text(
        "def say(context, value=None):\n    return {'value': value}\n"
    )
    yield
    sys.modules.pop("doc_code", None)


def spec(tmp_path: Path, state: str = "") -> Path:
    path = tmp_path / "job.yaml"
    where = state or f"{{location: {tmp_path}/state}}"
    path.write_text(
        "version: 1\n"
        "name: t\n"
        f"state: {where}\n"
        "steps:\n"
        "  - {id: a, action: python.call, function: 'doc_code:say', "
        "arguments: {value: 1}}\n"
    )
    return path


def encode_document(content: Any) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def write_document(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "state/t/k.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_document(content))
    return path


def resume(tmp_path: Path, **more: Any) -> RunResult:
    return api.run(api.load(spec(tmp_path)), run_key="k", resume=True, **more)


@pytest.mark.parametrize("what", list(WRONG))
@pytest.mark.parametrize("take_over", [False, True])
def test_a_damaged_document_is_one_clear_error(what: str, take_over: bool, tmp_path: Path) -> None:
    path = write_document(tmp_path, WRONG[what])
    with pytest.raises(UsageError, match=r"is damaged|has more than") as raised:
        resume(tmp_path, take_over=take_over)
    assert len(str(raised.value)) < 600
    assert path.read_bytes() == encode_document(WRONG[what]), "it is left as it is"


@pytest.mark.parametrize("what", list(NEWER))
def test_a_document_of_a_newer_release_is_refused(what: str, tmp_path: Path) -> None:
    path = write_document(tmp_path, NEWER[what])
    with pytest.raises(UsageError, match="the release of rolerunner that wrote it"):
        resume(tmp_path, take_over=True)
    assert path.read_bytes() == encode_document(NEWER[what])


def test_the_command_ends_with_status_2_and_no_traceback(
    tmp_path: Path, rolerunner: Callable[..., Any]
) -> None:
    write_document(tmp_path, document(steps=[1]))
    result = rolerunner("run", spec(tmp_path), "--resume", "k")
    assert (result.returncode, "Traceback" in result.stderr) == (2, False)
    assert (
        "the state t/k.json is damaged: 'steps' is not an object; it was not changed"
        in result.stderr
    )


@pytest.mark.parametrize("engine", ["fast", "boto3"])
@pytest.mark.parametrize("what", ["steps list", "list outside"])
def test_a_damaged_document_in_s3(
    what: str, engine: str, tmp_path: Path, memory_aws: Store
) -> None:
    memory_aws.put("ops", "state/t/k.json", encode_document(WRONG[what]))
    path = spec(tmp_path, "{location: 's3://ops/state/', role: job}")
    path.write_text(path.read_text() + f"engine: {engine}\n")
    with pytest.raises(UsageError, match="is damaged"):
        api.run(api.load(path), run_key="k", resume=True)
    assert not memory_aws.requests_of("PUT")


def test_a_document_of_the_previous_release_is_gone_on_from(tmp_path: Path) -> None:
    assert api.run(api.load(spec(tmp_path)), run_key="k").status == "succeeded"
    path = tmp_path / "state/t/k.json"
    read = json.loads(path.read_text())
    old = {
        **read,
        "holder": HOLDER,
        "steps": {
            "a": {name: value for name, value in read["steps"]["a"].items() if name != "left"}
        },
    }
    del old["begun"]
    path.write_text(json.dumps(old))
    assert resume(tmp_path).steps[0].status == "skipped"
    assert parse_document(path.read_bytes(), "t/k.json", "t", "k").steps == old["steps"]


def test_state_is_readable_for_its_user_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = spec(tmp_path)
    path.write_text(
        path.read_text()
        + (
            "  - {id: b, action: python.call, function: 'doc_code:say', "
            f"arguments: {{value: {tmp_path}/in}}}}\n"
        )
    )
    assert api.run(api.load(path), run_key="k").status == "succeeded"
    found = {
        each: stat.S_IMODE(each.stat().st_mode)
        for each in (tmp_path / "state", *(tmp_path / "state").rglob("*"))
    }
    assert {mode for each, mode in found.items() if each.is_dir()} == {0o700}
    assert {mode for each, mode in found.items() if each.is_file()} == {0o600}
    assert len([each for each in found if each.is_file()]) == 3, (
        "the document, its lock, and what step b left"
    )


def test_what_has_no_json_form_is_not_kept_and_done_again(tmp_path: Path) -> None:
    (tmp_path / "doc_code.py").write_text(
        "def say(context, value=None):\n    return {'value': {'$objects': 'mine'}}\n"
    )
    assert api.run(api.load(spec(tmp_path)), run_key="k").status == "succeeded"
    assert resume(tmp_path).steps[0].status == "succeeded"
    assert resume(tmp_path).steps[0].outputs == {"value": {"$objects": "mine"}}


def test_a_secret_that_an_earlier_run_kept_is_removed(tmp_path: Path) -> None:
    """A secret output that an earlier release stored is removed, and its step repeated."""
    (tmp_path / "doc_code.py").write_text(
        "def say(context, value=None):\n    return {'value': 'planted-secret-of-the-partner'}\n"
    )
    path = spec(tmp_path)
    assert api.run(api.load(path), run_key="k").status == "succeeded"
    assert "planted-secret" in (tmp_path / "state/t/k.json").read_text()
    path.write_text(path.read_text().replace("arguments:", "secret_outputs: [value], arguments:"))
    result = api.run(api.load(path), run_key="k")
    assert (result.status, result.steps[0].status) == ("succeeded", "succeeded")
    assert "planted-secret" not in (tmp_path / "state/t/k.json").read_text()
