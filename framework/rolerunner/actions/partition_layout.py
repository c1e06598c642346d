"""Finds the partition of a table that an object belongs to, by the folders in its key."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Optional
from urllib.parse import unquote

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from collections.abc import Sequence

HIVE = "hive"
"""The layout of folders that are named ``key=value``."""
_FIELD = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"\w+\Z")
_WHOLE = re.compile(r"-?\d+\Z")
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
_WHOLE_TYPES = frozenset({"tinyint", "smallint", "int", "integer", "bigint"})
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""The folder of rows without a value."""


@dataclass(frozen=True)
class Partition:
    """The values of a partition, in the order of the table's keys, and its folder."""

    values: tuple[str, ...]
    location: S3Uri


def check_layout(layout: str) -> str:
    """Returns a layout unchanged. Raises ValueError."""
    if layout == HIVE:
        return layout
    names = _FIELD.findall(layout)
    plain = _FIELD.sub("", layout)
    if not names or "{" in plain or "}" in plain:
        raise ValueError(f"must be hive, or folders such as {{year}}/{{month}}/, not '{layout}'")
    wrong = next((name for name in names if not _NAME.match(name)), None)
    if wrong is not None:
        raise ValueError(f"has '{{{wrong}}}', which is not the name of a partition key")
    if len(set(names)) != len(names):
        raise ValueError("names a partition key twice")
    return layout


class PartitionFinder:
    """Finds the partitions of objects."""

    def __init__(self, layout: str, keys: Sequence[tuple[str, str]], base: S3Uri) -> None:
        """``keys`` are the names and types of the table's keys, ``base`` its location.

        Raises ValueError if the layout does not name exactly these keys.
        """
        self._keys, self._base = keys, base
        self._pattern: Optional[re.Pattern[str]] = None
        if layout == HIVE:
            return
        named = _FIELD.findall(layout)
        wanted = [name for name, _ in keys]
        if sorted(map(str.lower, named)) != sorted(map(str.lower, wanted)):
            raise ValueError(
                f"'layout' names {', '.join(named)}, and the table has the partition keys"
                f" {', '.join(wanted)}"
            )
        self._pattern = _compile_layout(layout)

    def find(self, uri: S3Uri) -> Partition:
        """Returns the partition of an object. Raises ValueError if its key names none."""
        found, folder = self._read_hive(uri) if self._pattern is None else self._match(uri)
        missing = [name for name, _ in self._keys if name.lower() not in found]
        if missing:
            raise ValueError(f"has no folder for the partition key '{missing[0]}'")
        values = tuple(found[name.lower()] for name, _ in self._keys)
        for (name, kind), value in zip(self._keys, values):
            _check_value(name, kind, value)
        return Partition(values, S3Uri(uri.bucket, folder))

    def _read_hive(self, uri: S3Uri) -> tuple[dict[str, str], str]:
        names = {name.lower() for name, _ in self._keys}
        found: dict[str, str] = {}
        folder, end = "", 0
        for part in uri.key.split("/")[:-1]:
            end += len(part) + 1
            name, separator, value = part.partition("=")
            if separator and name.lower() in names:
                found[name.lower()] = unquote(value)
                folder = uri.key[:end]
        return found, folder

    def _match(self, uri: S3Uri) -> tuple[dict[str, str], str]:
        base = self._base
        if uri.bucket != base.bucket or not uri.key.startswith(base.key):
            raise ValueError(f"is not below the location of the table, {base}")
        matched = None if self._pattern is None else self._pattern.match(uri.key[len(base.key) :])
        if matched is None:
            raise ValueError("does not have the folders of 'layout'")
        found = {name.lower(): value for name, value in matched.groupdict().items()}
        return found, base.key + matched.group()


def _compile_layout(layout: str) -> re.Pattern[str]:
    """Returns the pattern of the folders of a layout, without what follows them."""
    text = layout if layout.endswith("/") else f"{layout}/"
    pattern, end = "", 0
    for field in _FIELD.finditer(text):
        pattern += f"{re.escape(text[end : field.start()])}(?P<{field[1]}>[^/]+?)"
        end = field.end()
    return re.compile(pattern + re.escape(text[end:]))


def _check_value(name: str, kind: str, value: str) -> None:
    """Raises ValueError for a value that queries of the table could not read."""
    if not value:
        raise ValueError(f"has an empty value for the partition key '{name}'")
    if value == _NO_VALUE:
        return
    is_wrong = kind in _WHOLE_TYPES and not _WHOLE.match(value)
    if kind == "date":
        try:
            date.fromisoformat(value)
            is_wrong = not _DAY.match(value)  # newer versions of Python take other forms, too
        except ValueError:
            is_wrong = True
    if is_wrong:
        raise ValueError(f"has '{value}' for the partition key '{name}', which is of type {kind}")
