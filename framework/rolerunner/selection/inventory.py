"""Writes a list of objects for other tools, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from rolerunner.common.new_files import create_atomically
from rolerunner.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.selection.manifest import ObjectList

FORMS = (".jsonl", ".csv", ".parquet")
_COLUMNS = ("uri", "key", "size", "etag", "modified", "version", "storage_class")
_ROWS = 50_000
"""Rows of a Parquet row group, about 10 MB in memory."""


def write_inventory(objects: ObjectList, path: Path) -> None:
    """Writes the list in the format of the file's suffix, atomically. Raises StepError."""
    rows = (
        {"uri": str(objects.uri(info)), **{name: getattr(info, name) for name in _COLUMNS[1:]}}
        for info in objects
    )
    with create_atomically(path) as new_file:
        if path.suffix == ".parquet":
            with open(new_file.descriptor, "wb", closefd=False) as binary:
                _read_parquet(rows, binary)
        elif path.suffix == ".csv":
            with open(
                new_file.descriptor, "w", encoding="utf-8", newline="", closefd=False
            ) as file:
                writer = csv.DictWriter(file, _COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
        else:
            with open(new_file.descriptor, "w", encoding="utf-8", closefd=False) as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)


def _read_parquet(rows: Iterator[dict[str, Any]], file: IO[bytes]) -> None:
    try:
        import pyarrow as pa  # noqa: PLC0415 - a large library that only this needs
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise StepError(
            "a Parquet inventory needs pyarrow, which is not installed",
            hint="pip install pyarrow, or write .csv",
            type="Missing",
        ) from None
    schema = pa.schema([(name, pa.int64() if name == "size" else pa.string()) for name in _COLUMNS])
    with parquet.ParquetWriter(file, schema) as writer:
        for piece in iter(lambda: list(islice(rows, _ROWS)), []):
            writer.write_table(pa.Table.from_pylist(piece, schema=schema))
