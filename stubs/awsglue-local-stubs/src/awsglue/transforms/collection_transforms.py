"""The transforms MapToCollection and SelectFromCollection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection


class SelectFromCollection(GlueTransform):
    """See ``DynamicFrameCollection.select``."""

    def __call__(
        self, dfc: DynamicFrameCollection, key: str, transformation_ctx: str = ""
    ) -> DynamicFrame:
        """Returns the frame of a name."""
        return dfc.select(key, transformation_ctx)


class MapToCollection(GlueTransform):
    """See ``DynamicFrameCollection.map``."""

    def __call__(
        self,
        dfc: DynamicFrameCollection,
        callable: Callable[[DynamicFrame, str], DynamicFrame],
        transformation_ctx: str = "",
    ) -> DynamicFrameCollection:
        """Returns what the function makes of each frame."""
        return dfc.map(callable, transformation_ctx)
