"""Ids of steps in groups: ``partners.fetch``, and ``partners[north].fetch`` for one item."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
_STEP_ID = re.compile(rf"({_NAME})(?:\[([^\[\]]+)\])?(?:\.({_NAME}))?\Z", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]{0,63}\Z", re.ASCII)
"""A label is a part of file names, so it has neither ``/`` nor ``#`` nor brackets."""
_NAMES_OF_ITEMS = ("name", "id", "key")
"""Fields of an item that may name it; the first that it has counts."""


@dataclass(frozen=True)
class StepId:
    """A step, a group, an item of a group, or a step inside a group, of one item or of all."""

    step: str
    """The id of the step or group at the top level."""
    item: str = ""
    """The label of an item; empty for all items."""
    inner: str = ""
    """The id of a step inside the group; empty for all its steps."""

    @classmethod
    def parse(cls, text: str) -> StepId:
        """Parses ``partners``, ``partners[north]``, ``partners.fetch``, ``partners[north].fetch``.

        Raises ValueError.
        """
        found = _STEP_ID.match(text)
        if not found:
            raise ValueError(
                f"'{text}' is not the id of a step, such as fetch or group[item].fetch"
            )
        return cls(*(part or "" for part in found.groups()))

    def __str__(self) -> str:
        item = f"[{self.item}]" if self.item else ""
        return f"{self.step}{item}" + (f".{self.inner}" if self.inner else "")

    def covers(self, other: StepId) -> bool:
        """Returns True if ``other`` is this step, or a part of it."""
        return (
            self.step == other.step
            and self.item in ("", other.item)
            and self.inner in ("", other.inner)
        )

    def overlaps(self, other: StepId) -> bool:
        """Returns True if there may be a step that both cover."""
        return (
            self.step == other.step
            and (not self.item or not other.item or self.item == other.item)
            and (not self.inner or not other.inner or self.inner == other.inner)
        )


def inner_id(group: str, name: str) -> str:
    """Returns the id of a step inside a group, for all items."""
    return f"{group}.{name}"


def item_step_id(step_id: str, label: str) -> str:
    """Returns the id of a step inside a group for one item."""
    group, _, name = step_id.partition(".")
    return f"{group}[{label}].{name}"


def is_inside_group(step_id: str) -> bool:
    """Returns True for the id of a step inside a group, for one item."""
    return "[" in step_id


def local_name(step_id: str) -> str:
    """Returns the name by which expressions read a step: without its group and item."""
    return step_id.rpartition(".")[2] if "." in step_id else step_id


def file_name(step_id: str) -> str:
    """Returns the id as a part of file names and of keys in S3: ``partners.fetch.north``.

    Brackets and ``#`` are among the characters to avoid in keys (S3 user guide).
    """
    head, bracket, rest = step_id.partition("[")
    label, _, name = rest.rpartition("].")
    return f"{head}.{name}.{label.replace('#', '-')}" if bracket else step_id


def label_items(items: Sequence[Any]) -> list[str]:
    """Returns a unique label for each item: its name, or ``#`` and its position, from 0.

    An item without a name, with a name that other items have too, or with one that could not be
    part of an id or of a file name, is labelled by its position.
    """
    names = [_find_name(item) for item in items]
    counts = Counter(names)
    return [
        name if name and counts[name] == 1 else label_position(position)
        for position, name in enumerate(names)
    ]


def label_position(position: int) -> str:
    """Returns the label of the item at a position, which every item has besides its name."""
    return f"#{position}"


def _find_name(item: Any) -> str:
    """Returns the item's name; empty if it has none that can be a label."""
    value = item
    if isinstance(item, Mapping):
        value = next((item[name] for name in _NAMES_OF_ITEMS if name in item), None)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    text = str(value)
    return text if _LABEL.match(text) else ""
