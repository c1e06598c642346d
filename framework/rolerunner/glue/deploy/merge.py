"""Merges the current job, the last deployment and the desired job, and diffs them.

UpdateJob overwrites everything, so settings made elsewhere are sent along. Settings that the last
deployment made and this one does not are removed: a param that left the spec leaves the job too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolerunner.redaction.redact import redact
from rolerunner.spec.glue_arguments import LIBRARY_SET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SIZES = frozenset({"AllocatedCapacity", "MaxCapacity", "WorkerType", "NumberOfWorkers"})
"""GetJob returns all of them, computed from one another; UpdateJob refuses the combination."""
_BY_NAME = ("DefaultArguments", "NonOverridableArguments", "ExecutionProperty")
"""Fields that are merged entry by entry."""
_DEFAULTS = {"ExecutionProperty": {"MaxConcurrentRuns": 1}}
"""Defaults of a job (Glue API reference)."""
_LONG = 120
"""Maximum characters of a list that is shown in full."""


@dataclass(frozen=True)
class Change:
    """A changed field; ``before`` is None if it is added, ``after`` if it is removed."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.field}: {_format_value(self.after)}"
        if self.after is None:
            return f"- {self.field}: {_format_value(self.before)}"
        return f"~ {self.field}: {_format_value(self.before)} -> {_format_value(self.after)}"


def _format_value(value: Any) -> str:
    text = str(redact(value))
    parts = text.split(",")
    if len(text) > _LONG and len(parts) > 1:
        return f"{parts[0]} and {len(parts) - 1} more"
    return text or "''"


def extract_update(
    current: Mapping[str, Any], members: frozenset[str], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the fields of a job that UpdateJob takes; ``members`` are those of JobUpdate."""
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
    """Returns the desired fields over the current ones, without those of the last deployment."""
    merged = {name: value for name, value in current.items() if name not in last or name in wanted}
    for name, value in wanted.items():
        merged[name] = (
            _merge_entries(current.get(name, {}), last.get(name, {}), value)
            if name in _BY_NAME
            else value
        )
    defaults = merged.get("DefaultArguments", {})
    replaced = {*merged.get("NonOverridableArguments", {})}
    if LIBRARY_SET in defaults:  # earlier releases wrote it with dashes, as other tools do
        replaced.add(f"--{LIBRARY_SET}")
    merged["DefaultArguments"] = {
        name: value for name, value in defaults.items() if name not in replaced
    }
    return merged


def _merge_entries(
    current: Mapping[str, Any], last: Mapping[str, Any], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    return {**{name: value for name, value in current.items() if name not in last}, **wanted}


def merge_tags(
    current: Mapping[str, str], last: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, str]:
    """Merges tags in the same way."""
    return _merge_entries(current, last, wanted)


def diff_jobs(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Returns every changed field, sorted by name; mappings entry by entry."""
    old, new = dict(_flatten(before)), dict(_flatten(after))
    return tuple(
        Change(name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _flatten(values: Mapping[str, Any], base: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{base}{name}.")
        else:
            yield f"{base}{name}", value
