"""Reads rows of Parquet files, through pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rolerunner.errors import StepError
from rolerunner.selection.list_files.entries import BadLine, Entry, parse_name, parse_record
from rolerunner.selection.list_files.lines import list_error

if TYPE_CHECKING:
    from pathlib import Path

_ROWS = 10_000
"""Rows in memory."""


def iter_rows(path: Path, name: str) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a Parquet file. Raises StepError."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - a large library that few lists need
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise StepError(
            f"{name}: a Parquet list needs pyarrow, which is not installed",
            hint="pip install pyarrow, or use CSV",
            type="Missing",
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise list_error(name, f"cannot be read as Parquet: {str(error)[:200]}") from None


def read_parquet(path: Path, column: str, name: str) -> Iterator[Entry]:
    """Yields the objects of a Parquet file that is no part of an S3 Inventory."""
    for number, row in enumerate(iter_rows(path, name), 1):
        if not column and row.get("size") is not None:
            yield parse_record(number, row)
            continue
        wanted = column or next((each for each in ("uri", "key") if each in row), "")
        if wanted not in row:
            shown = ", ".join(map(str, list(row)[:20]))
            raise list_error(
                name,
                f"has no column '{wanted or 'key'}'; it has {shown}",
                hint="name one as 'column'",
            )
        value = row[wanted]
        yield (
            parse_name(number, value)
            if isinstance(value, str)
            else BadLine(number, f"has no key in the column '{wanted}'")
        )
