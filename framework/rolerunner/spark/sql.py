"""Runs queries over files."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import StepError
from rolerunner.spark.hadoop import Hadoop, use_committer
from rolerunner.spark.session import find_reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class TableFiles:
    """Files that form a table: location, format, and options of Spark's reader or writer."""

    url: str
    format: str
    options: dict[str, str]


class QueryFailed(StepError):
    """A query failed. ``text`` is the complete Java error."""

    def __init__(self, message: str, *, hint: str = "", type: str = "", text: str = "") -> None:  # noqa: A002 - the result file's own word
        super().__init__(message, hint=hint, type=type)
        self.text = text


def fetch_rows(
    session: Any, tables: Mapping[str, TableFiles], query: Optional[str], most: int
) -> tuple[list[str], list[dict[str, Any]]]:
    """Returns the columns and the first rows of a query. Raises QueryFailed."""
    with _translate_errors(session):
        frame = _create_frame(session.newSession(), tables, query)
        return list(frame.columns), [
            {name: _to_plain_value(value) for name, value in row.asDict().items()}
            for row in frame.take(most)
        ]


def write_rows(
    session: Any,
    tables: Mapping[str, TableFiles],
    query: Optional[str],
    target: TableFiles,
    mode: str,
    partition_by: Sequence[str],
    *,
    has_committer: bool = False,
) -> tuple[int, list[str]]:
    """Writes a query's result and returns its row count and columns. Raises QueryFailed.

    ``has_committer``: the target's options name a committer of Hadoop, which commits the write.
    """
    from pyspark.sql import Observation, functions  # noqa: PLC0415

    with _translate_errors(session):
        own = session.newSession()
        if has_committer:
            use_committer(own)
        frame = _create_frame(own, tables, query)
        seen = Observation()
        observed = frame.observe(seen, functions.count(functions.lit(1)).alias("count"))
        observed.write.format(target.format).options(**target.options).mode(mode).partitionBy(
            *partition_by
        ).save(target.url)
        return int(seen.get["count"]), list(frame.columns)


def _create_frame(own: Any, tables: Mapping[str, TableFiles], query: Optional[str]) -> Any:
    """Returns the query's result. ``own`` is a session whose table names no other step uses."""
    for name, data in tables.items():
        own.read.format(data.format).options(**data.options).load(data.url).createOrReplaceTempView(
            name
        )
    return own.sql(query) if query is not None else own.table(next(iter(tables)))


def _to_plain_value(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


@contextmanager
def _translate_errors(session: Any) -> Iterator[None]:
    """Converts Spark's errors to QueryFailed, with a reason and, if known, a hint."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if "S3AFileSystem not found" in text:
            hint = (
                "Glue has S3A; on a laptop start Spark with --packages "
                f"org.apache.hadoop:hadoop-aws:{Hadoop(session).version} "
                "(PYSPARK_SUBMIT_ARGS)"
            )
            raise QueryFailed(
                "this Spark cannot reach S3: it has no S3A", hint=hint, type="NoS3A", text=text
            ) from error
        kind = re.search(r"([A-Z_]{4,}(?:\.[A-Z_]+)*)\]", text)
        raise QueryFailed(
            find_reason(error), type=kind.group(1) if kind else type(error).__name__, text=text
        ) from error
