"""The job as it is + what was deployed last + what is wanted -> the job as it should be, and the difference.

UpdateJob overwrites everything, so what somebody set elsewhere must be sent along. What the last deployment set and
this one does not goes: a param that left the spec leaves the job too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolerunner.redaction.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SIZES = frozenset({"AllocatedCapacity", "MaxCapacity", "WorkerType", "NumberOfWorkers"})
"""GetJob tells each of them, computed from the others; UpdateJob refuses them together."""
_BY_NAME = ("DefaultArguments", "NonOverridableArguments", "ExecutionProperty")
"""Fields whose entries are looked at one by one."""
_DEFAULTS = {"ExecutionProperty": {"MaxConcurrentRuns": 1}}
"""What a job has that says nothing else (Glue API reference)."""
_LONG = 120
"""Characters of a list of wheels that is shown whole."""


@dataclass(frozen=True)
class Change:
    """One field that differs: ``before`` is None for a new one, ``after`` for one that goes."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.field}: {_shown(self.after)}"
        if self.after is None:
            return f"- {self.field}: {_shown(self.before)}"
        return f"~ {self.field}: {_shown(self.before)} -> {_shown(self.after)}"


def _shown(value: Any) -> str:
    text = str(redact(value))
    parts = text.split(",")
    if len(text) > _LONG and len(parts) > 1:
        return f"{parts[0]} and {len(parts) - 1} more"
    return text or "''"


def extract_update(
    current: Mapping[str, Any], members: frozenset[str], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """What of a job's description can be sent back; ``members`` are the fields of JobUpdate."""
    kept = {
        name: value
        for name, value in current.items()
        if name in members and value not in ("", None, {}, [])
    }
    return {
        **_DEFAULTS,
        **{name: value for name, value in kept.items() if name not in _SIZES or name in wanted},
    }


def merge_job(
    current: Mapping[str, Any], last: Mapping[str, Any], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """What is wanted over what is there, without what the last deployment set and this one does not."""
    made = {name: value for name, value in current.items() if name not in last or name in wanted}
    for name, value in wanted.items():
        made[name] = (
            _entries(current.get(name, {}), last.get(name, {}), value)
            if name in _BY_NAME
            else value
        )
    fixed = made.get("NonOverridableArguments", {})
    made["DefaultArguments"] = {
        name: value for name, value in made.get("DefaultArguments", {}).items() if name not in fixed
    }
    return made


def _entries(
    current: Mapping[str, Any], last: Mapping[str, Any], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    return {**{name: value for name, value in current.items() if name not in last}, **wanted}


def merge_tags(
    current: Mapping[str, str], last: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, str]:
    """Tags in the same way."""
    return _entries(current, last, wanted)


def diff_jobs(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every field that differs, in order of its name, entries of mappings one by one."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple(
        Change(name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _flat(values: Mapping[str, Any], base: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{base}{name}.")
        else:
            yield f"{base}{name}", value
