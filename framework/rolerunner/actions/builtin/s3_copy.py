"""Defines the action ``s3.copy``."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any, ClassVar, Optional, Union

from pydantic import ValidationInfo, model_validator

from rolerunner.actions.backup_fields import BackupFields, check_backup, check_backup_suffix
from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.blocks import run_blocks
from rolerunner.actions.compression_fields import CompressFields
from rolerunner.actions.copy_items import CopyItems, CopyMirror
from rolerunner.actions.deletion_limits import DeletionLimits
from rolerunner.actions.existing_fields import ComparedFields
from rolerunner.actions.existing_objects import COMPARES, LOOKS
from rolerunner.actions.extra_objects import delete_extra_objects
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.mirrors import MirrorFields, check_copy_mirror
from rolerunner.actions.moves import delete_copied_sources
from rolerunner.actions.object_names import NameFields
from rolerunner.actions.object_plans import (
    Report,
    check_not_empty,
    plan_deletions,
    plan_transfers,
    report_left_out,
)
from rolerunner.actions.outcomes import ByteProgress, record_outcomes
from rolerunner.actions.past_fields import PastFields, check_past_fields
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.placement import choose_distribution
from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.actions.put_options import Encryption, PutFields
from rolerunner.actions.shared_fields import (
    DistributionFields,
    SourceFields,
    TransferFields,
)
from rolerunner.actions.source_objects import (
    OnLeftOut,
    SourceObjects,
    check_one_source,
    collect_source,
)
from rolerunner.actions.targets import (
    check_copies,
    claim_targets,
    refuse_one_bucket,
    refuse_overlap,
)
from rolerunner.actions.transfer_size import TransferSizeFields
from rolerunner.actions.unfinished_uploads import abort_leftover_uploads, open_upload_journal
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
from rolerunner.storage.object_lines import OutcomeBlock
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Copy, Outcome, Storage
from rolerunner.storage.workers.placement import COPY, RELAY, Work

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
        if (
            self.move is True
            and self.if_exists in COMPARES
            and self.compare in ("size", "size_mtime", "mtime")
        ):
            raise ValueError(
                "'move' deletes only objects whose copy is verified, and"
                f" 'compare: {self.compare}' does not verify content: use checksum"
            )
        if self.delete_extra is True and not (info.context and info.context.get(PARTIAL_VALUES)):
            check_copy_mirror(self.source, self.target, move=self.move is True)
        if (
            info.context is not None and info.context.items() >= TEMPLATES_ALLOWED.items()
        ):  # the values are checked again by run()
            self._refuse_overlap()
        encryption = (
            self.encryption.customer_key if isinstance(self.encryption, Encryption) else None
        )
        if self.distribute is not None and (
            self.customer_key is not None or encryption is not None
        ):
            raise ValueError(
                "'distribute' cannot be combined with 'customer_key':"
                " secrets are not sent to other machines"
            )
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Copies the objects, many at once."""
        pacer = self.flow()
        self._check_places()
        source, target = self._open_storages(context, pacer, self.distribute)
        mirror = CopyMirror(self, context)
        gathered = self._collect_source(source, context, mirror)
        if gathered.total == 0:
            if self.move and context.is_resumed:
                context.note(
                    "info",
                    f"nothing is left in {self.source or 'the listed objects'}:"
                    " an earlier attempt moved it",
                    {},
                )
            else:
                handle_empty_source(self.on_empty, self.source_name, context)
            nothing = {"count": 0, "bytes": 0, "skipped": 0, "deleted": 0}
            return {"objects": placeholder_list(self.place()), **nothing}
        one_role = context.roles["source_role"] == context.roles["target_role"]
        kind = COPY if one_role and self.compress is None else RELAY
        work = Work(kind, gathered.total, gathered.objects.bytes if kind is RELAY else 0)
        chosen = choose_distribution(self.distribute, work, context)
        if chosen is not None:
            source, target = self._open_storages(context, pacer, chosen)
        journal = open_upload_journal(context)
        copies = CopyItems(self, gathered, source, target, context, journal)
        check_copies(
            gathered.objects, copies.place, copies.targets, move=self.move, renames=self.renames
        )
        if self.move or self.renames:
            claim_targets(gathered.objects, copies.targets, context)
        if self.move or self.delete_extra:
            option = "a move" if self.move else "'delete_extra'"
            refuse_one_bucket(gathered.objects, copies.place, target, option)
        self._check_size(copies, context)
        extra = mirror.find_extra(copies, self.deletion_limits())

        def transfer(items: Iterable[Union[Copy, Outcome]]) -> Iterator[Outcome]:
            if one_role and self.compress is None:
                return target.copy(items, context.cancel)
            return target.relay(items, source, context.cancel)

        backups = self.open_backups(context, "target_role", copies.place, pacer)
        ended: Iterable[Union[Outcome, OutcomeBlock]]
        blocks = None
        if backups is None and not self.move and copies.can_be_made_elsewhere:
            method, arguments = ("copy", ()) if one_role else ("relay", (source,))
            blocks = run_blocks(
                target,
                method,
                copies.objects,
                copies.template,
                arguments,
                copies.place.bucket,
                context,
            )
        if blocks is not None:
            ended = chain(gathered.refused, blocks)
        else:
            copied = transfer(copies) if backups is None else backups.transfer(copies, transfer)
            ended = self._delete_sources(copied, source, target, context) if self.move else copied
        # of compressed objects, the bytes that are sent are not known before
        size = 0 if self.compress is not None else gathered.objects.bytes
        progress = ByteProgress(context, gathered.total, size)
        done = record_outcomes(
            ended, context, copies.place, self, pacer, gathered, progress=progress
        )
        abort_leftover_uploads(journal, target, context)
        deleted = (
            0 if done.failed else delete_extra_objects(extra, target, context, backups=backups)
        )
        return done.outputs(objects=done.objects, skipped=done.skipped, deleted=deleted)

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
        source, target = self._open_storages(context, self.flow())
        mirror = CopyMirror(self, context)
        gathered = self._collect_source(source, context, mirror)
        if not self.delete_extra or gathered.total == 0:
            return gathered.summary()
        copies = CopyItems(self, gathered, source, target, context)
        extra = mirror.find_extra(copies, DeletionLimits(sys.maxsize))
        return {**gathered.summary(), "extra": extra.count, "max_delete": self.max_delete}

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports what would be copied, skipped, kept and deleted. Raises StepError."""
        self._check_places()
        source, target = self._open_storages(context, self.flow())
        mirror = CopyMirror(self, context)
        left_out = report_left_out(self.source, self.objects, report, mirror.add_left_out)
        gathered = self._collect_source(source, context, mirror, left_out)
        check_not_empty(gathered, self, context)
        copies = CopyItems(self, gathered, source, target, context)
        check_copies(
            gathered.objects, copies.place, copies.targets, move=self.move, renames=self.renames
        )
        self._check_size(copies, context)
        extra = mirror.find_extra(copies, self.deletion_limits()) if gathered.total else EMPTY_LIST
        backups = self.open_backups(context, "target_role", copies.place)
        then = "the source is deleted" if self.move else ""
        plan_transfers(copies, copies.if_exists, report, context, backups, then)
        plan_deletions(extra, "the source does not have it", report, backups)

    def _check_size(self, copies: CopyItems, context: StepContext) -> None:
        self.check_transfer_size(
            lambda report: plan_transfers(copies, copies.if_exists, report, context)
        )

    def _collect_source(
        self,
        source: Storage,
        context: StepContext,
        mirror: CopyMirror,
        on_left_out: Optional[OnLeftOut] = None,
    ) -> SourceObjects:
        return collect_source(
            self.source,
            self.objects,
            self.selection(),
            source,
            context,
            version=self.version or "",
            as_of=self.as_of or "",
            on_left_out=on_left_out or (mirror.add_left_out if self.delete_extra else None),
        )

    def _delete_sources(
        self, copied: Iterator[Outcome], source: Storage, target: Storage, context: StepContext
    ) -> Iterator[Outcome]:
        # the version that HEAD returns for an object named by its key must be kept
        by_version = isinstance(self.objects, ObjectList)
        return delete_copied_sources(copied, source, target, context, by_version=by_version)

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

    def _open_storages(
        self, context: StepContext, pacer: Pacer, distribute: Optional[str] = None
    ) -> tuple[Storage, Storage]:
        key, owner = self.customer_key, self.expected_source_bucket_owner
        of_target = replace(self.access(), source_bucket_owner=owner or "", source_key=key or "")
        return (
            context.storage(
                "source_role",
                self.access(owner=owner, customer_key=key),
                pacer,
                distribute=distribute,
            ),
            context.storage("target_role", of_target, pacer, distribute=distribute),
        )
