"""Reads the lists of S3 Inventory: the manifest, and the files that it names.

See the S3 user guide, "Amazon S3 Inventory list".
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional
from urllib.parse import unquote_plus

from rolerunner.lazy_dataclass import dataclass
from rolerunner.selection.list_files.entries import BadLine, Entry, Lines, parse_record
from rolerunner.selection.list_files.lines import list_error

MAX_MANIFEST = 64 << 20
"""Bytes of a manifest; one file of a million objects takes 200."""
_MD5 = re.compile(r"[0-9a-fA-F]{32}\Z")
_FRACTION = re.compile(r"\.\d+(?=Z\Z)")
_NAMES = {
    "bucket": "bucket", "key": "key", "versionid": "version", "version_id": "version",
    "islatest": "latest", "is_latest": "latest",
    "isdeletemarker": "deleted", "is_delete_marker": "deleted",
    "size": "size", "lastmodifieddate": "modified", "last_modified_date": "modified",
    "etag": "etag", "e_tag": "etag", "storageclass": "storage_class",
    "storage_class": "storage_class",
}  # fmt: skip
"""Columns of CSV and of Parquet files, in lower case -> values of an object."""


@dataclass(frozen=True)
class InventoryFile:
    """A file of an inventory: its key, bytes and MD5."""

    key: str
    size: int
    md5: str


@dataclass(frozen=True)
class InventoryManifest:
    """The manifest of an inventory. ``columns`` are those of its CSV files, by our names."""

    format: str
    columns: tuple[str, ...]
    files: tuple[InventoryFile, ...]


def parse_manifest(data: bytes, name: str) -> InventoryManifest:
    """Returns the manifest. Raises StepError for another document, and for ORC files."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise list_error(name, "is not JSON, so it is no manifest of S3 Inventory") from None
    if not isinstance(document, dict) or not isinstance(document.get("files"), list):
        raise list_error(name, "is no manifest of S3 Inventory: it has no 'files'")
    file_format, schema = document.get("fileFormat"), document.get("fileSchema")
    if file_format not in ("CSV", "Parquet"):
        hint = "configure the inventory to be CSV or Parquet"
        raise list_error(name, f"has the format {str(file_format)[:20]}", hint=hint)
    files = tuple(_parse_file(each, name) for each in document["files"])
    columns = tuple(map(_rename, str(schema or "").split(","))) if file_format == "CSV" else ()
    if file_format == "CSV" and "key" not in columns:
        raise list_error(name, "has no column Key in its 'fileSchema'")
    return InventoryManifest(str(file_format), columns, files)


def _parse_file(value: Any, name: str) -> InventoryFile:
    file = value if isinstance(value, dict) else {}
    key, size, md5 = file.get("key"), file.get("size"), file.get("MD5checksum")
    if not isinstance(key, str) or not isinstance(size, int) or not _MD5.match(str(md5)):
        raise list_error(name, "has a file without key, size and MD5checksum")
    return InventoryFile(key, size, str(md5).lower())


def _rename(column: str) -> str:
    text = column.strip()
    return _NAMES.get(text.lower(), text)


def read_csv_file(
    lines: Lines, columns: Sequence[str], name: str, *, versions: bool
) -> Iterator[Entry]:
    """Yields the objects of a CSV file, whose keys are URL-encoded. Raises StepError."""
    number = 0
    try:
        for number, row in enumerate(csv.reader((line for _, line in lines), strict=True), 1):
            if len(row) != len(columns):
                yield BadLine(number, f"has {len(row)} of {len(columns)} columns")
                continue
            values: dict[str, Any] = dict(zip(columns, row))
            values["key"] = unquote_plus(values["key"], errors="strict")
            entry = _parse_values(number, values, versions=versions)
            if entry is not None:
                yield entry
    except csv.Error as error:  # of the row after the last one
        raise list_error(name, f"is not an inventory: {error}", line=number + 1) from None
    except UnicodeDecodeError as error:
        raise list_error(name, f"is not an inventory: {error}", line=number) from None


def read_parquet_rows(rows: Iterator[Mapping[str, Any]], *, versions: bool) -> Iterator[Entry]:
    """Yields the objects of a Parquet file's rows."""
    for number, row in enumerate(rows, 1):
        values = {_rename(name): value for name, value in row.items()}
        entry = _parse_values(number, values, versions=versions)
        if entry is not None:
            yield entry


def _parse_values(number: int, values: dict[str, Any], *, versions: bool) -> Optional[Entry]:
    """Returns an object; None if ``versions`` is False and it is not a current object."""
    is_deleted = _is_true(values.get("deleted"))
    if not versions and (is_deleted or not _is_true(values.get("latest", True))):
        return None
    size = _parse_size(values.get("size"), is_deleted=is_deleted)
    if size is None and "size" in values:
        return BadLine(number, "has no size")
    stated = size is not None and bool(values.get("etag") or is_deleted)
    record: dict[str, Any] = {"key": values.get("key"), "bucket": values.get("bucket")}
    if versions and not values.get("version"):
        return BadLine(number, "has no version, but 'versions' is true")
    if stated:
        record.update(size=size, deleted=is_deleted, modified=_format_time(values.get("modified")))
        record.update({each: values.get(each) for each in ("etag", "storage_class")})
        record["version"] = values.get("version") if versions else ""
    elif versions:
        return BadLine(number, "has no Size and ETag, which versions need")
    return parse_record(number, record)


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _parse_size(value: Any, *, is_deleted: bool) -> Optional[int]:
    if is_deleted:
        return 0
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None


def _format_time(value: Any) -> str:
    """Returns a time in the format of S3's listings; empty if the inventory has none."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return _FRACTION.sub("", text)
