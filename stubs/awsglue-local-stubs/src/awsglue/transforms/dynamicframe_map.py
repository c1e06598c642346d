"""The transform Map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from awsglue.dynamicframe import DynamicFrame
    from awsglue.gluetypes import DynamicRecord


class Map(GlueTransform):
    """See ``DynamicFrame.map``."""

    def __call__(
        self,
        frame: DynamicFrame,
        f: Callable[[DynamicRecord], Mapping[str, Any]],
        preservesPartitioning: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the records that ``f`` returns."""
        return frame.map(
            f, preservesPartitioning, transformation_ctx, info, stageThreshold, totalThreshold
        )
