"""Fields for what is at a target already."""

from typing import Annotated, Literal

from rolerunner.actions.base import Field
from rolerunner.spec.field_types import DYNAMIC, StrictModel

IfExists = Annotated[Literal["overwrite", "skip", "skip_same", "fail"], DYNAMIC]
TransferIfExists = Annotated[
    Literal["overwrite", "skip", "skip_same", "fail", "fail_different"], DYNAMIC
]
Compare = Annotated[Literal["checksum", "etag", "size", "size_mtime", "mtime"], DYNAMIC]


class ExistingFields(StrictModel):
    """The field of an action with a comparison of its own."""

    if_exists: IfExists = Field(
        "overwrite",
        description="What to do when the target exists; skip_same compares it as 'compare' says.",
        examples=["skip_same"],
    )


class ComparedFields(StrictModel):
    """Fields of a transfer between S3 and S3 or the disk."""

    if_exists: TransferIfExists = Field(
        "overwrite",
        description=(
            "What to do when the target exists; skip_same and fail_different compare it"
            " as 'compare' says."
        ),
        examples=["skip_same"],
    )
    compare: Compare = Field(
        "checksum",
        description=(
            "How source and target are compared: checksum (or ETag), etag, size, size_mtime, mtime."
        ),
        examples=["size"],
    )
