"""The transform UnnestFrame, which works in Glue alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from awsglue.dynamicframe import DynamicFrame


class UnnestFrame(GlueTransform):
    """See ``DynamicFrame.unnest``."""

    def __call__(
        self,
        frame: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Raises LocalGlueError: it works in Glue alone."""
        return frame.unnest(transformation_ctx, info, stageThreshold, totalThreshold)
