"""The transform DropNullFields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awsglue._fields import quote
from awsglue.dynamicframe import DynamicFrame
from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class DropNullFields(GlueTransform):
    """Removes the fields that are null in every record."""

    def __call__(
        self,
        frame: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the frame without its empty fields; a frame without records is unchanged."""
        rows = frame.toDF()
        kept = _find_filled_fields(rows)
        return DynamicFrame(rows.select(*map(quote, kept)), frame.glue_ctx, frame.name)


def _find_filled_fields(rows: DataFrame) -> list[tuple[str]]:
    from pyspark.sql import functions  # noqa: PLC0415 - pyspark may be missing until here

    columns = [(name,) for name in rows.columns]
    counted = rows.agg(
        functions.count("*"), *(functions.count(functions.col(quote(each))) for each in columns)
    )
    total, *counts = counted.collect()[0]
    return [each for each, count in zip(columns, counts) if count or not total]
