"""The transforms DropFields, Join, RenameField, SelectFields and SplitFields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection


class DropFields(GlueTransform):
    """See ``DynamicFrame.drop_fields``."""

    def __call__(
        self,
        frame: DynamicFrame,
        paths: Sequence[str],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns a frame without the fields at ``paths``."""
        return frame.drop_fields(paths, transformation_ctx, info, stageThreshold, totalThreshold)


class SelectFields(GlueTransform):
    """See ``DynamicFrame.select_fields``."""

    def __call__(
        self,
        frame: DynamicFrame,
        paths: Sequence[str],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns a frame of the fields at ``paths``."""
        return frame.select_fields(paths, transformation_ctx, info, stageThreshold, totalThreshold)


class RenameField(GlueTransform):
    """See ``DynamicFrame.rename_field``."""

    def __call__(
        self,
        frame: DynamicFrame,
        old_name: str,
        new_name: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns a frame with a field under another name or at another path."""
        return frame.rename_field(
            old_name, new_name, transformation_ctx, info, stageThreshold, totalThreshold
        )


class Join(GlueTransform):
    """See ``DynamicFrame.join``."""

    def __call__(
        self,
        frame1: DynamicFrame,
        frame2: DynamicFrame,
        keys1: Sequence[str],
        keys2: Sequence[str],
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        """Returns the equality join of two frames; a single key may be text."""
        return frame1.join(keys1, keys2, frame2, transformation_ctx)


class SplitFields(GlueTransform):
    """See ``DynamicFrame.split_fields``."""

    def __call__(
        self,
        frame: DynamicFrame,
        paths: Sequence[str],
        name1: str | None = None,
        name2: str | None = None,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Returns two frames; without names they are named after the frame, with 1 and 2."""
        return frame.split_fields(
            paths,
            name1 or f"{frame.name}1",
            name2 or f"{frame.name}2",
            transformation_ctx,
            info,
            stageThreshold,
            totalThreshold,
        )
