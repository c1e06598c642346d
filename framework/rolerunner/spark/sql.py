"""Runs queries over files, and configures how Hadoop accesses S3."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import StepError
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


_CONFIGURED: dict[str, dict[str, str]] = {}
"""Bucket -> its first settings, which Hadoop caches."""


def find_credentials_provider(session: Any) -> str:
    """Returns the Java class that finds the job's credentials.

    Hadoop uses version 2 of the AWS SDK since 3.4.
    """
    numbers = tuple(int(each) for each in re.findall(r"\d+", _get_hadoop_version(session))[:2])
    second = numbers >= (3, 4)
    return (
        "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        if second
        else "com.amazonaws.auth.DefaultAWSCredentialsProviderChain"
    )


def _get_hadoop_version(session: Any) -> str:
    return str(session.sparkContext._jvm.org.apache.hadoop.util.VersionInfo.getVersion())  # noqa: SLF001 - the way into the JVM


def configure_bucket(session: Any, bucket: str, settings: Mapping[str, str]) -> None:
    """Configures Hadoop's access to a bucket.

    Raises StepError if another role was configured before.
    """
    before = _CONFIGURED.setdefault(bucket, dict(settings))
    arn = f"fs.s3a.bucket.{bucket}.assumed.role.arn"
    if before.get(arn) != settings.get(arn):
        raise StepError(
            f"the bucket '{bucket}' was accessed as another role in this run: Spark knows "
            "one role for each bucket",
            type="OneRoleABucket",
        )
    if any(name.endswith("external.id") for name in settings) and not _supports_external_ids(
        session
    ):
        hint = (
            "Hadoop supports it since HADOOP-19201 (after 3.4.0); use a role without one, or "
            "copy the objects with s3.copy"
        )
        raise StepError(
            f"the role of the bucket '{bucket}' has an 'external_id', which this Hadoop "
            "does not send",
            hint=hint,
            type="S3aCannot",
        )
    hadoop = session.sparkContext._jsc.hadoopConfiguration()  # noqa: SLF001 - the way into the JVM
    for name, value in settings.items():
        hadoop.set(name, value)


def _supports_external_ids(session: Any) -> bool:
    constants = session.sparkContext._jvm.org.apache.hadoop.fs.s3a.Constants  # noqa: SLF001 - the way into the JVM
    if type(constants).__name__ == "JavaPackage":
        return True  # there is no S3A at all, which the first read says better
    try:
        return bool(constants.ASSUMED_ROLE_EXTERNAL_ID)
    except Exception:  # noqa: BLE001 - py4j's error for a name that is not there
        return False


def fetch_rows(
    session: Any, tables: Mapping[str, TableFiles], query: Optional[str], most: int
) -> tuple[list[str], list[dict[str, Any]]]:
    """Returns the columns and the first rows of a query. Raises QueryFailed."""
    with _translate_errors(session):
        frame = _create_frame(session, tables, query)
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
) -> tuple[int, list[str]]:
    """Writes a query's result and returns its row count and columns. Raises QueryFailed."""
    from pyspark.sql import Observation, functions  # noqa: PLC0415

    with _translate_errors(session):
        frame = _create_frame(session, tables, query)
        seen = Observation()
        observed = frame.observe(seen, functions.count(functions.lit(1)).alias("count"))
        observed.write.format(target.format).options(**target.options).mode(mode).partitionBy(
            *partition_by
        ).save(target.url)
        return int(seen.get["count"]), list(frame.columns)


def _create_frame(session: Any, tables: Mapping[str, TableFiles], query: Optional[str]) -> Any:
    own = (
        session.newSession()
    )  # names of its own: steps that run side by side may call their sources the same
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
                f"org.apache.hadoop:hadoop-aws:{_get_hadoop_version(session)} "
                "(PYSPARK_SUBMIT_ARGS)"
            )
            raise QueryFailed(
                "this Spark cannot reach S3: it has no S3A", hint=hint, type="NoS3A", text=text
            ) from error
        kind = re.search(r"([A-Z_]{4,}(?:\.[A-Z_]+)*)\]", text)
        raise QueryFailed(
            find_reason(error), type=kind.group(1) if kind else type(error).__name__, text=text
        ) from error
