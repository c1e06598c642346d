"""The transform ApplyMapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from awsglue.dynamicframe import DynamicFrame


class ApplyMapping(GlueTransform):
    """See ``DynamicFrame.apply_mapping``."""

    def __call__(
        self,
        frame: DynamicFrame,
        mappings: Iterable[tuple[str, str, str, str]],
        case_sensitive: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the fields of the mappings: (source, its type, target, its type)."""
        return frame.apply_mapping(
            mappings, case_sensitive, transformation_ctx, info, stageThreshold, totalThreshold
        )
