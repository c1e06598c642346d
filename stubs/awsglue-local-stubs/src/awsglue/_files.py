"""Reads and writes files through the Spark session, with Glue's options as Spark's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from awsglue.local import LocalGlueError, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

CONNECTION_TYPES = ("s3", "file")
_FORMATS = {"csv": "csv", "json": "json", "parquet": "parquet", "glueparquet": "parquet"}
_TUNING = frozenset(
    {
        "blockSize",
        "boundedFiles",
        "boundedSize",
        "groupFiles",
        "groupSize",
        "maxBand",
        "maxFilesInBand",
        "optimizePerformance",
        "pageSize",
        "useGlueParquetWriter",
        "useS3ListImplementation",
    }
)
"""Options that change how fast Glue works and not what it reads or writes."""
_READ_OPTIONS = frozenset({"path", "paths", "recurse", "compressionType"})
_WRITE_OPTIONS = frozenset({"path", "partitionKeys", "compression"})


@dataclass(frozen=True)
class Files:
    """Files of a connection type and a format, with the options given for both."""

    connection_type: str
    format: str | None
    connection_options: Mapping[str, Any] = field(default_factory=dict)
    format_options: Mapping[str, Any] = field(default_factory=dict)

    def read(self, spark: SparkSession, predicate: str = "") -> DataFrame:
        """Returns the files' rows. Raises LocalGlueError."""
        kind, paths = self._check(_READ_OPTIONS), self._paths()
        reader = spark.read.options(**_spark_options(kind, self.format_options))
        if self.connection_options.get("recurse"):
            reader = reader.option("recursiveFileLookup", "true")
        try:
            frame = reader.format(kind).load([_spark_path(path) for path in paths])
        except Exception as error:
            raise _explain(error) from error
        if kind == "csv" and not self.format_options.get("withHeader"):
            frame = frame.toDF(*(f"col{number}" for number in range(len(frame.columns))))
        return frame.where(predicate) if predicate else frame

    def write(self, frame: DataFrame) -> None:
        """Adds files with the frame's rows to the path, as Glue does. Raises LocalGlueError."""
        kind, paths = self._check(_WRITE_OPTIONS), self._paths()
        options = _spark_options(kind, self.format_options, writing=True)
        compression = self.connection_options.get("compression")
        if compression:
            options["compression"] = str(compression)
        writer = frame.write.mode("append").options(**options)
        keys = self.connection_options.get("partitionKeys") or []
        writer = writer.partitionBy(*keys) if keys else writer
        try:
            writer.format(kind).save(_spark_path(paths[0]))
        except Exception as error:
            raise _explain(error) from error

    def _check(self, known: frozenset[str]) -> str:
        """Returns Spark's name of the format. Raises LocalGlueError for what only Glue has."""
        if self.connection_type not in CONNECTION_TYPES:
            refuse(
                f"the connection type '{self.connection_type}'",
                "use the connection type 's3' or 'file'",
            )
        kind = _FORMATS.get(self.format or "")
        if kind is None:
            refuse(f"the format {self.format!r}", "use csv, json or parquet")
        unknown = sorted(set(self.connection_options) - known - _TUNING)
        if unknown:
            refuse(f"the connection option '{unknown[0]}'", "leave it out")
        return kind

    def _paths(self) -> list[str]:
        given = self.connection_options.get("paths") or self.connection_options.get("path")
        paths = [given] if isinstance(given, str) else list(given or ())
        if not paths:
            raise LocalGlueError(
                "there is no path to read or write: give connection_options "
                '{"paths": ["s3://bucket/folder/"]}, or {"path": ...} to write'
            )
        return paths


def _spark_path(path: str) -> str:
    """Returns a path with the scheme of Hadoop's S3 connector in place of s3."""
    scheme, separator, rest = path.partition("://")
    return f"s3a://{rest}" if separator and scheme in {"s3", "s3n"} else path


def _spark_options(kind: str, given: Mapping[str, Any], *, writing: bool = False) -> dict[str, str]:
    options = {name: value for name, value in given.items() if name not in _TUNING}
    found: dict[str, str] = {}
    if kind == "csv":
        found = _csv_options(options, writing=writing)
    elif kind == "json":
        found = {"multiLine": _flag(options.pop("multiline", False))}
    elif "compression" in options:
        found = {"compression": str(options.pop("compression"))}
    if options:
        refuse(f"the format option '{next(iter(options))}' of {kind}", "leave it out")
    return found


def _csv_options(options: dict[str, Any], *, writing: bool) -> dict[str, str]:
    """Takes the known options out of ``options``; returns them as Spark's."""
    quote = options.pop("quoteChar", '"')
    with_header = options.pop("withHeader", False)
    skip_first = options.pop("skipFirst", False)
    write_header = options.pop("writeHeader", True)
    if with_header and skip_first:
        refuse("the format option 'skipFirst' beside 'withHeader'", "give one of them")
    return {
        "sep": str(options.pop("separator", ",")),
        "quote": "" if quote == -1 else str(quote),
        "escape": str(options.pop("escaper", "") or '"'),
        "multiLine": _flag(options.pop("multiLine", options.pop("multiline", False))),
        "header": _flag(write_header if writing else with_header or skip_first),
    }


def _flag(value: Any) -> str:
    return "true" if value in {True, "true", "True"} else "false"


def _explain(error: Exception) -> LocalGlueError:
    """Returns the first line of Spark's error, or what to install if S3's connector is missing."""
    text = str(error)
    if "S3AFileSystem" in text or "UnsupportedFileSystemException" in text:
        return LocalGlueError(
            "this Spark has no connector for s3: set spark.jars.packages to "
            "org.apache.hadoop:hadoop-aws of Spark's Hadoop version, or use a local path"
        )
    return LocalGlueError(text.strip().splitlines()[0] if text.strip() else type(error).__name__)
