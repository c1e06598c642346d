"""The JSON document of a run key, validated field by field.

Documents with steps of groups have version 2, which earlier releases refuse; all others have
version 1. Unknown fields are refused and the document is left as it is, because the
next write would drop them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from rolerunner.common.json_values import check_json
from rolerunner.errors import UsageError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.run.state.lock_holder import LockHolder
from rolerunner.run.work_notes import WorkNote
from rolerunner.step_ids import file_name

VERSION, GROUPS_VERSION = 1, 2
LIST = "$objects"
"""The key of an object that stands for a list of objects."""
_MAX_PID = 2**31
_MAX_AMOUNT = 1e12
"""An upper bound for seconds."""
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_ITEM_STEP = re.compile(
    r"[A-Za-z][A-Za-z0-9_-]*\[(?:#\d+|[A-Za-z0-9_][A-Za-z0-9_.@+=-]*)\]\.[A-Za-z][A-Za-z0-9_-]*\Z"
)
"""A step inside a group, for one item."""
_SEGMENT = re.compile(r"[^/\0]{1,255}\Z")


class _Damaged(ValueError):
    """The document is not one that rolerunner writes."""


class _UnknownContent(ValueError):
    """The document has what this release does not know."""


@dataclass(frozen=True)
class StateDocument:
    """A validated state document."""

    started: str
    holder: LockHolder
    steps: dict[str, dict[str, Any]]
    begun: dict[str, str]
    """Step that is not idempotent -> the run that began it, while its outcome is unknown."""
    texts: dict[str, str]
    """Step -> its entry as JSON."""
    notes: dict[str, WorkNote]
    """Work that steps started elsewhere and that may still go on."""


def parse_document(data: bytes, name: str, job: str, key: str) -> StateDocument:
    """Parses the document of a job's key.

    Raises UsageError if it is damaged, or of a newer release.
    """
    try:
        return _read_document(_parse_json(data), job, key)
    except _UnknownContent as why:
        raise UsageError(
            f"the state {name} {why}: use the release of rolerunner that wrote it; "
            "it was not changed"
        ) from None
    except (_Damaged, RecursionError) as why:
        reason = "it is nested too deeply" if isinstance(why, RecursionError) else why
        raise UsageError(
            f"the state {name} is damaged: {reason}; it was not changed. "
            "Restore it, or remove it to start again"
        ) from None


def choose_version(steps: Iterable[str]) -> int:
    """Returns the version of a document with these steps."""
    return GROUPS_VERSION if any("[" in step for step in steps) else VERSION


def is_plain(value: Any) -> bool:
    """Returns True if a value survives a document unchanged: plain JSON, not too deep."""
    try:
        check_json(value)
    except ValueError:
        return False
    # JSON has text keys only: {1: 2} would come back as {"1": 2}
    return not any(
        set(each) == {LIST} or not all(isinstance(key, str) for key in each)
        for each in _mappings_of(value)
    )


def _parse_json(data: bytes) -> Any:
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
        )
    except _Damaged:
        raise
    except UnicodeDecodeError:
        raise _Damaged("it is not UTF-8") from None
    except RecursionError:
        raise _Damaged("it is nested too deeply") from None
    except ValueError as error:
        raise _Damaged(f"it is not JSON ({error})") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _Damaged("it has a duplicate key")
    return read


def _refuse_constant(text: str) -> Any:
    raise _Damaged(f"'{text}' is not JSON")


def _read_document(document: Any, job: str, key: str) -> StateDocument:
    _require(isinstance(document, dict), "it is not an object")
    version = document.get("version")
    _require(type(version) is int and version >= 1, f"'version' is {_format_value(version)}")
    if version not in (VERSION, GROUPS_VERSION):
        raise _UnknownContent(
            f"has version {_format_value(version)}, and this release reads versions {VERSION} "
            f"and {GROUPS_VERSION}"
        )
    _check_fields(
        "it",
        document,
        required={"version", "job", "key", "started", "holder", "steps"},
        optional={"begun", "started_work"},
    )
    _require(
        document["job"] == job and document["key"] == key,
        f"it is of job {_format_value(document['job'])}, key {_format_value(document['key'])}",
    )
    _require(
        is_moment(document["started"]),
        f"'started' is {_format_value(document['started'])}, which is not a time",
    )
    begun = document.get("begun", {})
    _require(
        isinstance(begun, dict) and all(isinstance(each, str) for each in begun.values()),
        "'begun' is not an object of texts",
    )
    steps = document["steps"]
    _require(isinstance(steps, dict), "'steps' is not an object")
    has_groups = version == GROUPS_VERSION
    for step in steps:
        is_name = _STEP.match(step) or (has_groups and _ITEM_STEP.match(step))
        _require(bool(is_name), f"the step '{step}' has no name of a step")
    texts = {
        step: _entry_text(step, entry, f"{job}/{key}/{file_name(step)}")
        for step, entry in steps.items()
    }
    holder, notes = _read_holder(document["holder"]), _read_notes(document.get("started_work", {}))
    return StateDocument(document["started"], holder, steps, begun, texts, notes)


def _read_notes(read: Any) -> dict[str, WorkNote]:
    _require(isinstance(read, dict), "'started_work' is not an object")
    names = {each.name for each in fields(WorkNote)}
    for key, note in read.items():
        what = f"'started_work.{key}'"
        _require(isinstance(note, dict), f"{what} is not an object")
        _check_fields(what, note, required=names, optional=set())
        texts, prints = [note["step"], note["run_id"], note["text"]], note["fingerprint"]
        texts += note["needs"] if isinstance(note["needs"], list) else [None]
        _require(
            all(isinstance(each, str) for each in texts)
            and isinstance(prints, dict)
            and all(isinstance(each, str) for each in prints.values()),
            f"{what} is not a note about work",
        )
    return {key: WorkNote(**{**note, "needs": tuple(note["needs"])}) for key, note in read.items()}


def _read_holder(read: Any) -> LockHolder:
    _require(isinstance(read, dict), "'holder' is not an object")
    names = {each.name for each in fields(LockHolder)}
    optional = {"pid_scope", "pid_started"}
    _check_fields("'holder'", read, required=names - optional, optional=optional)
    for name in names - {"pid", "stale_after"}:
        _require(isinstance(read.get(name, ""), str), f"'holder.{name}' is not a text")
    _require(
        type(read["pid"]) is int and 0 <= read["pid"] < _MAX_PID,
        f"'holder.pid' is {_format_value(read['pid'])}",
    )
    _require(
        _is_amount(read["stale_after"]) and read["stale_after"] > 0,
        f"'holder.stale_after' is {_format_value(read['stale_after'])}",
    )
    for name in ("since", "renewed"):
        _require(
            is_moment(read[name]) or not read["run_id"],
            f"'holder.{name}' is {_format_value(read[name])}, which is not a time",
        )
    return LockHolder(**read)


def _entry_text(step: str, entry: Any, base: str) -> str:
    """Validates a step's entry and returns it as JSON."""
    what = f"the step '{step}'"
    _require(isinstance(entry, dict), f"{what} is not an object")
    _check_fields(
        what,
        entry,
        required={"status", "outputs", "fingerprint", "run_id"},
        optional={"seconds", "left"},
    )
    _require(
        entry["status"] in ("succeeded", "warning"),
        f"{what} has the status {_format_value(entry['status'])}",
    )
    _require(isinstance(entry["run_id"], str), f"{what} has no run id")
    _require(
        _is_amount(entry.get("seconds", 0)),
        f"{what} took {_format_value(entry.get('seconds'))} seconds",
    )
    prints = entry["fingerprint"]
    _require(
        isinstance(prints, dict) and all(isinstance(each, str) for each in prints.values()),
        f"the fingerprint of {what} is not an object of texts",
    )
    _require(isinstance(entry["outputs"], dict), f"the outputs of {what} are not an object")
    try:
        check_json(entry["outputs"])
    except ValueError as error:
        raise _Damaged(f"the outputs of {what} are not JSON: {error}") from None
    for each in _lists_of(entry["outputs"]):
        _check_list(f"a list of {what}", each, base)
    if entry.get("left") is not None:
        _check_left(f"what {what} left", entry["left"], base)
    return json.dumps(entry)


def _check_list(what: str, read: Any, base: str) -> None:
    _require(isinstance(read, dict), f"{what} is not an object")
    _check_fields(
        what, read, required={"name", "prefix", "count", "bytes", "flat"}, optional={"sha256"}
    )
    prefix = read["prefix"]
    _require(
        isinstance(prefix, list) and [type(each) for each in prefix] == [str, str],
        f"{what} has the prefix {_format_value(prefix)}",
    )
    _require(isinstance(read["flat"], bool), f"{what} has a 'flat' that is neither true nor false")
    _check_stored(what, read, base)


def _check_left(what: str, read: Any, base: str) -> None:
    _require(isinstance(read, dict), f"{what} is not an object")
    _check_fields(what, read, required={"host", "name", "count", "bytes", "sha256"}, optional=set())
    _require(isinstance(read["host"], str), f"{what} has no host")
    _check_stored(what, read, base)


def _check_stored(what: str, read: Mapping[str, Any], base: str) -> None:
    """Checks a file beside the document: it must be in the step's own names."""
    name = read["name"]
    inside = (
        isinstance(name, str)
        and name.startswith(f"{base}-")
        and _SEGMENT.match(name[base.rfind("/") + 1 :])
    )
    _require(bool(inside), f"{what} has the name {_format_value(name)}, which is outside of {base}")
    for field in ("count", "bytes"):
        _require(
            type(read[field]) is int and read[field] >= 0,
            f"{what} has a '{field}' of {_format_value(read[field])}",
        )
    digest = read.get("sha256")
    right = isinstance(digest, str) and _SHA256.match(digest)
    _require(
        bool(right) or "sha256" not in read,
        f"{what} has the digest {_format_value(digest)}",
    )


def _check_fields(
    what: str, read: Mapping[str, Any], *, required: set[str], optional: set[str]
) -> None:
    missing = sorted(required - set(read))
    _require(not missing, f"{what} has no '{missing[0] if missing else ''}'")
    unknown = sorted(set(read) - required - optional)
    if unknown:
        raise _UnknownContent(
            f"has a field that this release does not know: {what} has '{unknown[0]}'"
        )


def _require(holds: bool, why: str) -> None:
    if not holds:
        raise _Damaged(why)


def _format_value(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - a line of a message


def is_moment(value: Any) -> bool:
    """Returns True for a time in ISO 8601 with its offset from UTC."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).utcoffset() is not None
    except ValueError:
        return False


def _is_amount(value: Any) -> bool:
    """Returns True for a finite number that is not negative, and not a boolean."""
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MAX_AMOUNT
    )


def _lists_of(value: Any) -> list[Any]:
    """Returns the stand-ins of lists of objects, where ``restore_lists`` looks for them."""
    found: list[Any] = []
    pending = list(value.values())
    while pending:
        each = pending.pop()
        if isinstance(each, dict) and set(each) == {LIST}:
            found.append(each[LIST])
        elif isinstance(each, list):
            pending += each
    return found


def _mappings_of(value: Any) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, Mapping):
            found.append(each)
            pending += each.values()
        elif isinstance(each, (list, tuple)):
            pending += each
    return found
