"""Defines the action ``s3.copy``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Optional

from pydantic import ValidationInfo, model_validator

from rolerunner.actions.backup_fields import BackupFields, check_backup, check_backup_suffix
from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.compression_fields import CompressFields
from rolerunner.actions.copy_run import CopyRun
from rolerunner.actions.existing_fields import ComparedFields
from rolerunner.actions.existing_objects import COMPARES, LOOKS
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.mirrors import MirrorFields, check_copy_mirror
from rolerunner.actions.object_names import NameFields
from rolerunner.actions.object_plans import (
    Report,
)
from rolerunner.actions.past_fields import PastFields, check_past_fields
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.actions.put_options import Encryption, PutFields
from rolerunner.actions.shared_fields import (
    DistributionFields,
    SourceFields,
    TransferFields,
)
from rolerunner.actions.source_objects import (
    check_one_source,
)
from rolerunner.actions.targets import (
    refuse_overlap,
)
from rolerunner.actions.transfer_size import TransferSizeFields
from rolerunner.errors import StepError
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, Origin, placeholder_list
from rolerunner.spec.action_schema import FieldConflictError
from rolerunner.spec.field_types import (
    PARTIAL_VALUES,
    TEMPLATES_ALLOWED,
    Account,
    Bytes,
    CustomerKey,
    Flag,
    S3Location,
)

MIB = 1 << 20
MAX_SINGLE = 5_000_000_000
"""A single CopyObject takes no more than 5 GB (S3 user guide)."""


class S3Copy(
    FilterFields,
    NameFields,
    PastFields,
    CompressFields,
    PutFields,
    MirrorFields,
    BackupFields,
    ComparedFields,
    TransferFields,
    TransferSizeFields,
    DistributionFields,
    SourceFields,
    Action,
):
    """Copy objects within S3, under one role or from one role to another.

    With one role S3 copies the objects itself, large ones in parts; metadata and tags are kept
    unless the step sets others. With two roles (``source_role`` and ``target_role``) that share no
    permission, bytes are streamed through bounded memory, nothing is written to disk, and the
    source's checksum is verified on the way. With ``move: true`` a source is deleted only after its
    copy has been verified, and only if it is still the object that was copied: the deletion carries
    its ETag (or version). With ``delete_extra: true`` the target becomes a mirror of the source.
    If the job has ``state``, an interrupted copy of 256 MiB or more continues with the parts that
    are stored.
    """

    kind: ClassVar[str] = "s3.copy"
    stores_objects: ClassVar[bool] = True
    moves_objects: ClassVar[bool] = True
    resumes_uploads: ClassVar[bool] = True
    role_fields: ClassVar[tuple[str, ...]] = ("source_role", "target_role")
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/",
        "if_exists": "skip_same",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects at the target, for other steps",
        "count": "how many objects were copied",
        "bytes": "how many bytes were copied",
        "skipped": "how many already existed",
        "deleted": "how many extra objects were deleted",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST,
        "count": 1,
        "bytes": 1,
        "skipped": 1,
        "deleted": 1,
    }

    target: S3Location = Field(
        description=(
            "The prefix to write under, which ends with '/'; for a single object also its URI."
        ),
        examples=["s3://archive/orders/"],
    )
    move: Flag = Field(
        False,
        description=(
            "Delete each source after its copy has been verified, unless it has changed since."
        ),
        examples=[True],
    )
    multipart_above: Annotated[Bytes, Field(ge=5 * MIB, le=MAX_SINGLE)] = Field(
        MAX_SINGLE, description="Copy larger objects in parts; 5GB at most.", examples=["1GB"]
    )
    part_size: Annotated[Bytes, Field(ge=5 * MIB, le=MAX_SINGLE)] = Field(
        256 * MIB, description="The size of a part; 5MiB at least.", examples=["64MiB"]
    )
    expected_source_bucket_owner: Optional[Account] = Field(
        None,
        description="The account that must own the source's bucket.",
        examples=["111122223333"],
    )
    customer_key: Optional[CustomerKey] = Field(
        None,
        description="The SSE-C key of the source in base64, preferably from a param.",
        examples=["${{ params.customer_key }}"],
    )
    keep_times: Flag = Field(
        False,
        description=(
            "Store the sources' times as metadata (mtime), as rclone does, unless they have it;"
            " one more request for each object."
        ),
        examples=[True],
    )

    @model_validator(mode="after")
    def _makes_sense(self, info: ValidationInfo) -> "S3Copy":
        check_one_source(self.source, self.objects, self.kind)
        check_past_fields(self, move=self.move is True)
        self.check_compression()
        self.check_times()
        self._check_move()
        if self.delete_extra is True and not (info.context and info.context.get(PARTIAL_VALUES)):
            check_copy_mirror(self.source, self.target, move=self.move is True)
        if (
            info.context is not None and info.context.items() >= TEMPLATES_ALLOWED.items()
        ):  # the values are checked again by run()
            self._refuse_overlap()
        self._check_distribution()
        return self

    def _check_move(self) -> None:
        if (
            self.move is True
            and self.if_exists in COMPARES
            and self.compare in ("size", "size_mtime", "mtime")
        ):
            raise ValueError(
                "'move' deletes only objects whose copy is verified, and"
                f" 'compare: {self.compare}' does not verify content: use checksum"
            )

    def _check_distribution(self) -> None:
        encrypted = isinstance(self.encryption, Encryption) and self.encryption.customer_key
        if self.distribute is not None and (self.customer_key is not None or encrypted):
            raise ValueError(
                "'distribute' cannot be combined with 'customer_key':"
                " secrets are not sent to other machines"
            )

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Copies the objects, many at once."""
        self._check_places()
        return CopyRun(self, context, self.distribute).run()

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Reading the source with its tags and annotations; writing the target with its options.

        A move also deletes the source, and delete_extra lists the target and deletes there.
        """
        read = [
            *(
                [list_permission(self.source, self.list_action())]
                if self.source is not None
                else []
            ),
            *self._on_source("s3:GetObject"),
        ]
        if self.tags is None:
            read += self._on_source("s3:GetObjectTagging")
        read += self._on_source("s3:GetObjectAnnotation")
        if self.move:
            read += self._on_source("s3:DeleteObject")
        places = possible_targets(self.target, to_folder=self._to_folder())
        return {
            "source_role": read,
            "target_role": [each for place in places for each in self._write_permissions(place)],
        }

    def _write_permissions(self, place: S3Uri) -> list[Permission]:
        written = self.put_permissions(place, copied=True)
        # 'distribute': what a machine copied before it died is looked up, not copied again
        looks = self.move or self.distribute or self.if_exists in LOOKS
        if looks or self.delete_extra:
            written.append(list_permission(place))
        if looks:
            written.append(object_permission("s3:GetObject", place))
        if self.delete_extra:
            written.append(object_permission("s3:DeleteObject", place))
        written += self.backup_permissions(place)
        return written

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the list of objects under the target."""
        return {"objects": placeholder_list(self.place(), versions=None)}

    def _to_folder(self) -> Optional[bool]:
        """Returns True if the objects go below the target; None if the source is not known yet."""
        if self.source is None or self.source.is_prefix or self.renames:
            return True
        return None if self.source.key.endswith("*") else False

    def place(self) -> S3Uri:
        """Returns the target: a folder, or for a single object the object."""
        to_folder = self.source is None or self.source.is_prefix or self.renames
        return resolve_target(self.target, to_folder=to_folder)

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes, what could not be looked up, and how much is extra."""
        return CopyRun(self, context).survey()

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports what would be copied, skipped, kept and deleted. Raises StepError."""
        self._check_places()
        CopyRun(self, context).plan_objects(report)

    def _check_places(self) -> None:
        """Raises StepError if two places of the step overlap."""
        try:
            self._refuse_overlap()
        except FieldConflictError as error:
            raise StepError(str(error), hint=error.hint, type="TargetInSource") from None

    def _refuse_overlap(self) -> None:
        """Raises FieldConflictError if the fields alone show that two places overlap."""
        check_backup(self.backup, self.target, "target")
        check_backup(self.backup, self.source, "source", *self.list_globs())
        if self.backup is None:
            check_backup_suffix(self.backup_suffix, self.source, self.target, self.list_globs())
        # globs are about names at the source, so they protect nothing that has another name
        globs = () if self.renames and self.delete_extra else (self.list_globs(),)
        listed = self.objects.origin if isinstance(self.objects, ObjectList) else None
        if self.source is not None:
            origin = Origin(self.source, globs)
        elif listed is not None:
            origin = Origin(listed.source, (*globs, *listed.globs))
        else:
            return
        refuse_overlap(
            origin,
            self.target,
            move=self.move is True,
            listed=self.source is None,
            renames=self.renames,
        )

    def _on_source(self, action: str) -> list[Permission]:
        return source_permissions(self.past_action(action), self.source, self.objects)
