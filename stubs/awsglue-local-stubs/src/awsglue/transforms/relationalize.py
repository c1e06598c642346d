"""The transform Relationalize, which works in Glue alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection


class Relationalize(GlueTransform):
    """See ``DynamicFrame.relationalize``."""

    def __call__(
        self,
        frame: DynamicFrame,
        staging_path: str | None = None,
        name: str = "roottable",
        options: Mapping[str, Any] | None = None,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Raises LocalGlueError: it works in Glue alone."""
        return frame.relationalize(
            name,
            staging_path or "",
            options or {},
            transformation_ctx,
            info,
            stageThreshold,
            totalThreshold,
        )
