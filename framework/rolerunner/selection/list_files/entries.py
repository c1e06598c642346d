"""Turns lines of a list into objects: text, CSV and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional, Union

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.selection.list_files.lines import list_error
from rolerunner.spec.field_types import MAX_KEY, check_key
from rolerunner.storage.protocol import ObjectInfo, make_object_info

UNKNOWN_SIZE = -1
"""The size of an object whose size the list does not state."""
_INVENTORY_COLUMNS = frozenset({"uri", "key", "size", "etag", "modified"})
"""Columns of an inventory that ``s3.list`` wrote."""
_DETAILS = ("etag", "modified", "version", "storage_class", "checksum")
_SHORT = MAX_KEY // 4
"""Characters of a key that is not too long for certain: UTF-8 has up to four bytes for each."""
_SHOWN = 80
"""Characters of a value that an error shows."""

_KINDS = {bool: "true or false", int: "a number", float: "a number", dict: "a mapping"}
"""Kinds of values of JSON as an error names them."""

Lines = Iterator[tuple[int, str]]


class ListedObject(NamedTuple):
    """An object that a line names. ``bucket`` is empty if the line does not name it."""

    line: int
    bucket: str
    info: ObjectInfo


@dataclass(frozen=True)
class BadLine:
    """A line that names no object, and why."""

    line: int
    problem: str


Entry = Union[ListedObject, BadLine]


def parse_name(line: int, text: str) -> Entry:
    """Returns the object that a key or an ``s3://`` URI names."""
    if text and len(text) <= _SHORT and not text.startswith("s3://") and "\0" not in text:
        return ListedObject(line, "", make_object_info({"key": text, "size": UNKNOWN_SIZE}))
    return parse_record(line, {"key": text})


def parse_record(line: int, values: Mapping[str, Any]) -> Entry:
    """Returns the object of a record with ``uri`` or ``key``, and perhaps its other values."""
    name = values.get("uri") or values.get("key")
    if not isinstance(name, str) or not name:
        return BadLine(line, f"has no key, but {_describe_value(name)}")
    try:
        uri = _parse_uri(name, str(values.get("bucket") or ""))
    except ValueError as error:
        subject = "" if str(error).startswith("'") else "it "
        return BadLine(line, f"names no object: {subject}{error}")
    size = values.get("size", UNKNOWN_SIZE)
    info: dict[str, Any] = {"key": uri.key, "size": size}
    info.update({each: values[each] for each in _DETAILS if values.get(each)})
    if values.get("deleted"):
        info["deleted"] = True
    return ListedObject(line, uri.bucket, make_object_info(info))


def _parse_uri(name: str, bucket: str) -> S3Uri:
    uri = S3Uri.parse(name) if name.startswith("s3://") else S3Uri(bucket, name)
    if not uri.key:
        raise ValueError(f"is the bucket '{name}'")
    if "\0" in uri.key:
        raise ValueError("contains a NUL character")
    return check_key(uri)


def read_text(lines: Lines) -> Iterator[Entry]:
    """Yields the object of each line that is not empty."""
    for number, line in lines:
        if line:
            yield parse_name(number, line)


def read_json_lines(lines: Lines, column: str) -> Iterator[Entry]:
    """Yields the object of each line of JSON; without a column, of a record as of ``s3.list``.

    Objects that a manifest reports as failed are left out.
    """
    for number, line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield BadLine(number, f"is not JSON: {_shorten(str(error))}")
            continue
        if not isinstance(record, dict):
            yield BadLine(number, "is not a JSON object")
        elif record.get("status") != "failed":
            yield _parse_json_record(number, record, column)


def _parse_json_record(line: int, record: Mapping[str, Any], column: str) -> Entry:
    if not column:
        return parse_record(line, _check_details(record))
    if column not in record:
        return BadLine(line, f"has no field '{column}'")
    value = record[column]
    if not isinstance(value, str) or not value:
        return BadLine(line, f"has no key in '{column}', but {_describe_value(value)}")
    return parse_name(line, value)


def read_csv(lines: Lines, column: str, name: str) -> Iterator[Entry]:
    """Yields the object of each row below the header. Raises StepError for a wrong file."""
    position = _Position()
    rows = csv.reader(position.feed(lines), strict=True)
    try:
        header = next(filter(None, rows), None)
        if header is None:
            return
        read_row = _choose_columns(header, column, name)
        before = position.line
        for row in rows:
            if row:
                yield read_row(before + 1, row)
            before = position.line
    except csv.Error as error:
        raise list_error(name, f"is not CSV: {error}", line=position.line) from None


class _Position:
    """Feeds lines to a CSV reader, and keeps the number of the last one."""

    def __init__(self) -> None:
        self.line = 0

    def feed(self, lines: Lines) -> Iterator[str]:
        for number, line in lines:
            self.line = number
            yield f"{line}\n"


def _choose_columns(header: list[str], column: str, name: str) -> Any:
    """Returns the function that parses a row. Raises StepError if the header has no key."""
    if not column and set(header) >= _INVENTORY_COLUMNS:
        return lambda line, row: _parse_inventory_row(line, dict(zip(header, row)))
    wanted = column or next((each for each in ("uri", "key") if each in header), "")
    if not wanted and len(header) == 1:
        wanted = header[0]
    if wanted not in header:
        missing = f"has no column '{wanted}'" if wanted else "has several columns"
        shown = ", ".join(_shorten(each) for each in header[:20])
        raise list_error(name, f"{missing}; it has {shown}", line=1, hint="name one as 'column'")
    place = header.index(wanted)

    def parse_row(line: int, row: list[str]) -> Entry:
        if len(row) <= place:
            return BadLine(line, f"has no value in the column '{wanted}'")
        return parse_name(line, row[place])

    return parse_row


def _parse_inventory_row(line: int, row: Mapping[str, str]) -> Entry:
    size = row.get("size", "")
    if not (size.isascii() and size.isdigit()):
        return BadLine(line, f"has no size, but {_describe_value(size)}")
    return parse_record(line, {**row, "size": int(size)})


def _check_details(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a record without values that are not of an object's type; its size may be lost."""
    size = record.get("size")
    is_size = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    kept: dict[str, Any] = {
        each: record[each]
        for each in ("uri", "key", "bucket", *(_DETAILS if is_size else ()))
        if isinstance(record.get(each), str)
    }
    if is_size:
        kept["size"] = size
        kept["deleted"] = record.get("deleted") is True
    return kept


def _describe_value(value: Optional[Any]) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, str):
        return f"'{_shorten(value)}'"
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
