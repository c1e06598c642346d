"""The sink that ``GlueContext.getSink`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from awsglue._files import Files
from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection
from awsglue.local import refuse_catalog

if TYPE_CHECKING:
    from awsglue.context import GlueContext

__all__ = ["DataSink"]


class DataSink:
    """Files to write; ``setFormat`` and then ``writeFrame``.

    ``j_sink`` holds the files here, a Java object in Glue.
    """

    def __init__(self, j_sink: Files, sql_ctx: GlueContext) -> None:
        self._files = j_sink
        self._context = sql_ctx

    def setFormat(self, format: str, **options: Any) -> None:
        """Sets the format and its options."""
        given = self._files
        self._files = Files(given.connection_type, format, given.connection_options, options)

    def setCatalogInfo(
        self,
        catalogDatabase: str,
        catalogTableName: str,
        catalogId: str = "",
    ) -> None:
        """Raises LocalGlueError: there is no Data Catalog here."""
        refuse_catalog("DataSink.setCatalogInfo", catalogDatabase, catalogTableName)

    def writeFrame(self, dynamic_frame: DynamicFrame, info: str = "") -> DynamicFrame:
        """Writes the frame and returns it."""
        self._files.write(dynamic_frame.toDF())
        return dynamic_frame

    def write(
        self, dynamic_frame_or_dfc: DynamicFrame | DynamicFrameCollection, info: str = ""
    ) -> DynamicFrame | DynamicFrameCollection:
        """Writes a frame, or each frame of a collection, and returns it."""
        if isinstance(dynamic_frame_or_dfc, DynamicFrameCollection):
            for frame in dynamic_frame_or_dfc.values():
                self.writeFrame(frame, info)
            return dynamic_frame_or_dfc
        return self.writeFrame(dynamic_frame_or_dfc, info)
