"""GlueContext: reads and writes frames through the Spark session."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from awsglue._files import Files
from awsglue.data_sink import DataSink
from awsglue.data_source import DataSource
from awsglue.dataframereader import DataFrameReader
from awsglue.dataframewriter import DataFrameWriter
from awsglue.dynamicframe import (
    DynamicFrame,
    DynamicFrameCollection,
    DynamicFrameReader,
    DynamicFrameWriter,
)
from awsglue.local import refuse, refuse_catalog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark import SparkContext
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql import DataFrameReader as SparkReader

__all__ = ["GlueContext", "GlueLogger"]


class GlueLogger:
    """The logger of ``GlueContext.get_logger``; it logs to Python's logger ``awsglue``."""

    _logger = logging.getLogger("awsglue")

    def debug(self, message: str) -> None:
        """Logs a message at level DEBUG."""
        self._logger.debug("%s", message)

    def info(self, message: str) -> None:
        """Logs a message at level INFO."""
        self._logger.info("%s", message)

    def warn(self, message: str) -> None:
        """Logs a message at level WARNING."""
        self._logger.warning("%s", message)

    def error(self, message: str) -> None:
        """Logs a message at level ERROR."""
        self._logger.error("%s", message)


class GlueContext:
    """Wraps a SparkContext and creates DynamicFrames; ``spark_session`` is its SparkSession."""

    create_dynamic_frame: DynamicFrameReader
    create_data_frame: DataFrameReader
    write_dynamic_frame: DynamicFrameWriter
    write_data_frame: DataFrameWriter
    spark_session: SparkSession

    def __init__(self, sparkContext: SparkContext | None = None, **options: Any) -> None:
        """Uses ``sparkContext``, or the active or a new one; ``options`` have no effect here."""
        from pyspark import SparkContext as Context  # noqa: PLC0415 - only frames need pyspark
        from pyspark.sql import SparkSession as Session  # noqa: PLC0415

        self._context = sparkContext or Context.getOrCreate()
        is_local = str(self._context.master).startswith("local")
        if is_local and "PYSPARK_PYTHON" not in os.environ:
            self._context.pythonExec = sys.executable  # else python3 of the PATH, another version
        self.spark_session = Session.builder.getOrCreate()
        self.create_dynamic_frame = DynamicFrameReader(self)
        self.create_data_frame = DataFrameReader(self)
        self.write_dynamic_frame = DynamicFrameWriter(self)
        self.write_data_frame = DataFrameWriter(self)

    @property
    def read(self) -> SparkReader:
        """Returns Spark's reader of DataFrames."""
        return self.spark_session.read

    def sql(self, sqlQuery: str) -> DataFrame:
        """Returns the result of a query."""
        return self.spark_session.sql(sqlQuery)

    def table(self, tableName: str) -> DataFrame:
        """Returns a table or view of the Spark session."""
        return self.spark_session.table(tableName)

    def createDataFrame(self, data: Any, schema: Any = None) -> DataFrame:
        """Returns data as a DataFrame."""
        return self.spark_session.createDataFrame(data, schema)

    def get_logger(self) -> GlueLogger:
        """Returns a logger."""
        return GlueLogger()

    def getSource(
        self,
        connection_type: str,
        format: str | None = None,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **options: Any,
    ) -> DataSource:
        """Returns a source of files; ``options`` are connection options."""
        if push_down_predicate:
            refuse("push_down_predicate of getSource", "use create_dynamic_frame.from_options")
        files = Files(connection_type, format, options)
        return DataSource(files, self, transformation_ctx)

    def getSink(
        self,
        connection_type: str,
        format: str | None = None,
        transformation_ctx: str = "",
        **options: Any,
    ) -> DataSink:
        """Returns a sink of files; ``options`` are connection options."""
        return DataSink(Files(connection_type, format, options), self)

    def create_dynamic_frame_from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] = {},
        format: str | None = None,
        format_options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DynamicFrame:
        """Returns the records of files (``s3`` or ``file``; csv, json or parquet)."""
        frame = self.create_data_frame_from_options(
            connection_type,
            connection_options,
            format,
            format_options,
            transformation_ctx,
            push_down_predicate,
            **kwargs,
        )
        return DynamicFrame(frame, self, transformation_ctx)

    def create_data_frame_from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] = {},
        format: str | None = None,
        format_options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DataFrame:
        """Returns the rows of files (``s3`` or ``file``; csv, json or parquet)."""
        if kwargs:
            refuse(f"the argument '{next(iter(kwargs))}'", "leave it out")
        files = Files(connection_type, format, connection_options, format_options)
        return files.read(self.spark_session, push_down_predicate)

    def create_dynamic_frame_from_catalog(
        self,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        additional_options: Mapping[str, Any] = {},
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DynamicFrame:
        """Raises LocalGlueError: there is no Data Catalog here."""
        refuse_catalog("create_dynamic_frame.from_catalog", database, table_name)

    def create_data_frame_from_catalog(
        self,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        additional_options: Mapping[str, Any] = {},
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DataFrame:
        """Raises LocalGlueError: there is no Data Catalog here."""
        refuse_catalog("create_data_frame.from_catalog", database, table_name)

    def write_dynamic_frame_from_options(
        self,
        frame: DynamicFrame,
        connection_type: str,
        connection_options: Mapping[str, Any] = {},
        format: str | None = None,
        format_options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        """Writes the frame as new files below ``connection_options["path"]``; returns it."""
        Files(connection_type, format, connection_options, format_options).write(frame.toDF())
        return frame

    def write_from_options(
        self,
        frame_or_dfc: DynamicFrame | DynamicFrameCollection,
        connection_type: str,
        connection_options: Mapping[str, Any] = {},
        format: str | Mapping[str, Any] = {},
        format_options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
        **kwargs: Any,
    ) -> DynamicFrame | DynamicFrameCollection:
        """Writes a frame, or each frame of a collection, as new files; returns it."""
        if kwargs:
            refuse(f"the argument '{next(iter(kwargs))}'", "leave it out")
        kind = format if isinstance(format, str) else None
        files = Files(connection_type, kind, connection_options, format_options)
        return DataSink(files, self).write(frame_or_dfc)

    def write_dynamic_frame_from_catalog(
        self,
        frame: DynamicFrame,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        additional_options: Mapping[str, Any] = {},
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DynamicFrame:
        """Raises LocalGlueError: there is no Data Catalog here."""
        refuse_catalog("write_dynamic_frame.from_catalog", database, table_name)

    def write_data_frame_from_catalog(
        self,
        frame: DataFrame,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        additional_options: Mapping[str, Any] = {},
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DataFrame:
        """Raises LocalGlueError: there is no Data Catalog here."""
        refuse_catalog("write_data_frame.from_catalog", database, table_name)

    def write_dynamic_frame_from_jdbc_conf(
        self,
        frame: DynamicFrame,
        catalog_connection: str,
        connection_options: Mapping[str, Any] = {},
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        catalog_id: str | None = None,
    ) -> DynamicFrame:
        """Raises LocalGlueError: connections of the Data Catalog exist in Glue alone."""
        refuse(
            f"the connection '{catalog_connection}' of the Glue Data Catalog",
            "use toDF().write.jdbc, or run it in Glue",
        )

    def purge_table(
        self,
        database: str,
        table_name: str,
        options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
        catalog_id: str | None = None,
    ) -> None:
        """Raises LocalGlueError: there is no Data Catalog here."""
        refuse_catalog("purge_table", database, table_name)

    def purge_s3_path(
        self,
        s3_path: str,
        options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
    ) -> None:
        """Raises LocalGlueError: it works in Glue alone."""
        refuse(f"purge_s3_path({s3_path!r})", "delete the files with boto3, or run it in Glue")
