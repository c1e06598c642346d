"""The transform Filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from awsglue.dynamicframe import DynamicFrame
    from awsglue.gluetypes import DynamicRecord


class Filter(GlueTransform):
    """See ``DynamicFrame.filter``."""

    def __call__(
        self,
        frame: DynamicFrame,
        f: Callable[[DynamicRecord], Any],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the records for which ``f`` returns true."""
        return frame.filter(f, transformation_ctx, info, stageThreshold, totalThreshold)
