"""The source that ``GlueContext.getSource`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from awsglue._files import Files
from awsglue.dynamicframe import DynamicFrame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from awsglue.context import GlueContext

__all__ = ["DataSource"]


class DataSource:
    """Files to read; ``setFormat`` and then ``getFrame``.

    ``j_source`` holds the files here, a Java object in Glue.
    """

    def __init__(self, j_source: Files, sql_ctx: GlueContext, name: str) -> None:
        self._files = j_source
        self._context = sql_ctx
        self.name = name

    def setFormat(self, format: str, **options: Any) -> None:
        """Sets the format and its options."""
        given = self._files
        self._files = Files(given.connection_type, format, given.connection_options, options)

    def getFrame(self, **options: Any) -> DynamicFrame:
        """Returns what the files contain; ``options`` are connection options."""
        given = self._files
        merged = {**given.connection_options, **options}
        files = Files(given.connection_type, given.format, merged, given.format_options)
        return DynamicFrame(files.read(self._context.spark_session), self._context, self.name)

    def getDataFrame(self) -> DataFrame:
        """Returns what the files contain as a DataFrame."""
        return self.getFrame().toDF()
