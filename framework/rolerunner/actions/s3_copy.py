"""s3.copy"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Annotated, Any, ClassVar, Optional, Union

from pydantic import ValidationInfo, model_validator

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.objects import (
    Compare,
    DistributionFields,
    FilterFields,
    IfExists,
    ObjectsField,
    OnEmpty,
    SourceObjects,
    TransferFields,
    check_one_source,
    collect_source,
    record_outcomes,
)
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.actions.put_options import Encryption, PutFields
from rolerunner.actions.targets import (
    OverlapError,
    check_copies,
    claim_targets,
    refuse_one_bucket,
    refuse_overlap,
)
from rolerunner.errors import AccessDenied, IntegrityFailed, StepError
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, Origin, placeholder_list
from rolerunner.selection.target_index import TargetIndex
from rolerunner.spec.fields import TEMPLATES_ALLOWED, Account, Bytes, CustomerKey, Flag, S3Location
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, Storage

MIB = 1 << 20
MAX_SINGLE = 5_000_000_000
"""A single CopyObject takes no more than 5 GB (S3 user guide)."""


class S3Copy(FilterFields, PutFields, TransferFields, DistributionFields, Action):
    """Copy objects within S3: by one role that may do both, or from one role to another that share no permission.

    One role: S3 copies by itself, large objects in parts; metadata and tags are kept unless the step says others.
    Two roles (``source_role`` and ``target_role`` that differ): bytes are streamed through bounded memory, nothing touches
    the disk, and the source's own checksum is proved on the way. With ``move: true`` a source is deleted only after its
    copy has been looked at, and only while it is the very object that was copied: the deletion carries its ETag (or version).
    """

    kind: ClassVar[str] = "s3.copy"
    moves_objects: ClassVar[bool] = True
    role_fields: ClassVar[tuple[str, ...]] = ("source_role", "target_role")
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/",
        "if_exists": "skip_same",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects that are there now, for other steps",
        "count": "how many objects were copied",
        "bytes": "how many bytes were copied",
        "skipped": "how many were there already",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST,
        "count": 1,
        "bytes": 1,
        "skipped": 1,
    }

    source: Optional[S3Location] = Field(
        None,
        description="One object, or a prefix that ends with '/'.",
        examples=["s3://landing/orders/"],
    )
    objects: ObjectsField = Field(
        None,
        description="Objects that another step listed, or a list of s3:// URIs; instead of source.",
        examples=["${{ steps.find.objects }}"],
    )
    target: S3Location = Field(
        description="The prefix to write under (ends with '/'), or for one object the object.",
        examples=["s3://archive/orders/"],
    )
    move: Flag = Field(
        False,
        description="Delete each source after its copy is proved, if it has not changed since.",
        examples=[True],
    )
    if_exists: IfExists = Field(
        "overwrite",
        description="What an object that is there means; skip_same looks at it as 'compare' says.",
        examples=["skip_same"],
    )
    compare: Compare = Field(
        "checksum",
        description="What makes an object the same: checksum or ETag, etag, size, size_mtime.",
        examples=["size"],
    )
    multipart_above: Annotated[Bytes, Field(ge=5 * MIB, le=MAX_SINGLE)] = Field(
        MAX_SINGLE, description="Larger objects are copied in parts; 5GB at most.", examples=["1GB"]
    )
    part_size: Annotated[Bytes, Field(ge=5 * MIB, le=MAX_SINGLE)] = Field(
        256 * MIB, description="How large those parts are; 5MiB at least.", examples=["64MiB"]
    )
    expected_source_bucket_owner: Optional[Account] = Field(
        None,
        description="The account that must own the source's bucket.",
        examples=["111122223333"],
    )
    customer_key: Optional[CustomerKey] = Field(
        None,
        description="The SSE-C key of the source, in base64; best from a param.",
        examples=["${{ params.customer_key }}"],
    )
    on_empty: OnEmpty = Field(
        "error", description="What nothing to copy is: error, warn or ok.", examples=["ok"]
    )

    @model_validator(mode="after")
    def _makes_sense(self, info: ValidationInfo) -> "S3Copy":
        check_one_source(self.source, self.objects, self.kind)
        if (
            self.move is True
            and self.if_exists == "skip_same"
            and self.compare in ("size", "size_mtime")
        ):
            raise ValueError(
                f"'move' deletes only what is proved to be at its target, and 'compare: {self.compare}' proves no content: say checksum"
            )
        if (
            info.context is not None and info.context.items() >= TEMPLATES_ALLOWED.items()
        ):  # of the spec; run() sees what it becomes
            self._refuse_overlap()
        encryption = (
            self.encryption.customer_key if isinstance(self.encryption, Encryption) else None
        )
        if self.distribute is not None and (
            self.customer_key is not None or encryption is not None
        ):
            raise ValueError(
                "'distribute' does not go with a 'customer_key': a secret is not shipped to other machines"
            )
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Copy, many at once."""
        flow = self.flow()
        try:
            self._refuse_overlap()
        except OverlapError as error:
            raise StepError(str(error), hint=error.hint, type="TargetInSource") from None
        source, target = self._storages(context, flow, self.distribute)
        gathered = collect_source(self.source, self.objects, self.selection(), source, context)
        if gathered.total == 0:
            if (
                self.move and context.is_resumed
            ):  # it was stopped between its last object and the word that it is done
                context.note(
                    "info",
                    f"nothing is left in {self.source or 'the listed objects'}: an earlier try moved it",
                    {},
                )
            else:
                handle_empty_source(
                    self.on_empty, str(self.source or "the listed objects"), context
                )
            return {"objects": placeholder_list(self.place()), "count": 0, "bytes": 0, "skipped": 0}
        copies = _Copies(self, gathered, source, target, context)
        check_copies(gathered.objects, copies.place, copies.target_of, move=self.move)
        if self.move:
            claim_targets(gathered.objects, copies.target_of, context)
            refuse_one_bucket(gathered.objects, copies.place, target)
        one_role = context.roles["source_role"] == context.roles["target_role"]
        copied = (
            target.copy(copies, context.cancel)
            if one_role
            else target.relay(copies, source, context.cancel)
        )
        ended = self._moved(copied, source, target, context) if self.move else copied
        done = record_outcomes(ended, context, copies.place, self, flow, gathered)
        return done.outputs(objects=done.objects, skipped=done.skipped)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Reading the source with its tags and annotations; writing the target with what the options ask for; deleting the source of a move."""
        read = [
            *([list_permission(self.source)] if self.source is not None else []),
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
            "target_role": [each for place in places for each in self._written(place)],
        }

    def _written(self, place: S3Uri) -> list[Permission]:
        written = self.put_permissions(place, copied=True)
        # 'distribute': what a machine did before it died is looked at, not done again
        if self.move or self.distribute or self.if_exists in ("skip", "skip_same"):
            written += [list_permission(place), object_permission("s3:GetObject", place)]
        return written

    def predict_outputs(self) -> Mapping[str, Any]:
        """Objects under the target."""
        return {"objects": placeholder_list(self.place(), versions=None)}

    def _to_folder(self) -> Optional[bool]:
        """Whether the objects go below the target; None where the source is not known yet."""
        if self.source is None or self.source.is_prefix:
            return True
        return None if self.source.key.endswith("*") else False

    def place(self) -> S3Uri:
        """Where the objects go: a folder, or for one object the object."""
        return resolve_target(self.target, to_folder=self.source is None or self.source.is_prefix)

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Count and bytes, and what may not be looked at."""
        found = collect_source(
            self.source,
            self.objects,
            self.selection(),
            self._storages(context, self.flow())[0],
            context,
        )
        return found.summary()

    def _moved(
        self, copied: Iterator[Outcome], source: Storage, target: Storage, context: StepContext
    ) -> Iterator[Outcome]:
        # an object by its name, whose HEAD tells a version, stays in the history of its bucket
        by_version = isinstance(self.objects, ObjectList)
        return _moved(copied, source, target, context, by_version=by_version)

    def _refuse_overlap(self) -> None:
        """Raises OverlapError where the fields alone tell that source and target overlap."""
        globs = ((self.include, self.exclude),)
        origin = self.objects.origin if isinstance(self.objects, ObjectList) else None
        if self.source is not None:
            refuse_overlap(Origin(self.source, globs), self.target, move=self.move is True)
        elif origin is not None:
            refuse_overlap(
                Origin(origin.source, (*globs, *origin.globs)),
                self.target,
                move=self.move is True,
                listed=True,
            )

    def _on_source(self, action: str) -> list[Permission]:
        return source_permissions(action, self.source, self.objects)

    def _storages(
        self, context: StepContext, flow: Pacer, distribute: Optional[str] = None
    ) -> tuple[Storage, Storage]:
        key, owner = self.customer_key, self.expected_source_bucket_owner
        of_target = replace(self.access(), source_bucket_owner=owner or "", source_key=key or "")
        return (
            context.storage(
                "source_role",
                self.access(owner=owner, customer_key=key),
                flow,
                distribute=distribute,
            ),
            context.storage("target_role", of_target, flow, distribute=distribute),
        )


class _Copies:
    """What to copy and where, drawn as the engine asks for it."""

    def __init__(
        self,
        action: S3Copy,
        gathered: SourceObjects,
        source: Storage,
        target: Storage,
        context: StepContext,
    ) -> None:
        self.action = action
        self.cancel = context.cancel
        self.objects = gathered.objects
        self.target = target
        self.refused = gathered.refused
        self.is_retry = context.is_retry
        self.lenient = context.is_resumed and action.if_exists == "overwrite"
        # what an earlier try copied is recognised by its content: a move deletes the source of what is the same
        self.is_same = _IsSame(
            "checksum" if self.lenient else action.compare, source, target, self.lenient
        )
        self.if_exists = "skip_same" if self.lenient else action.if_exists
        self.options = {
            **action.put_options(),
            **({"IfNoneMatch": "*"} if self.if_exists == "fail" else {}),
        }
        self.place = action.place()

    def __iter__(self) -> Iterator[Union[Copy, Outcome]]:
        yield from self.refused
        looks = self.if_exists in ("skip", "skip_same")
        existing = (
            TargetIndex(
                self.target, self.place, self.objects.count, self.cancel, lenient=self.lenient
            )
            if looks
            else None
        )
        for info in self.objects:
            if info.deleted:
                continue
            uri = self.objects.uri(info)
            target = self.target_of(info)
            try:
                there = existing.find(target) if existing is not None else None
            except StepError as error:
                yield Outcome(uri, status="failed", error=error)
                continue
            if there is not None and self.if_exists == "skip":
                yield Outcome(
                    target, info.size, etag=there.etag, status="skipped"
                )  # without its source, which no move may delete
                continue
            skip = None if there is None else partial(self.is_same, uri, info, target, there)
            # an incomplete ETag would be no condition: the engine then asks for the object's own
            yield Copy(
                uri,
                target,
                info if info.etag else None,
                self.options,
                self.action.multipart_above,
                self.action.part_size,
                skip,
                self.is_retry,
                there,
            )

    def target_of(self, info: ObjectInfo) -> S3Uri:
        """Where an object goes."""
        return self.place.join(self.objects.relative(info)) if self.place.is_prefix else self.place


@dataclass(frozen=True)
class _IsSame:
    """Does a target hold a source's bytes, as far as ``compare`` looks? A value, for it may be asked on another machine."""

    compare: str
    source: Storage
    target: Storage
    lenient: bool

    def __call__(self, uri: S3Uri, info: ObjectInfo, target: S3Uri, there: ObjectInfo) -> bool:
        if info.size != there.size:
            return False
        if self.compare == "size":
            return True
        if self.compare == "size_mtime":
            return there.modified >= info.modified
        if info.etag and info.etag == there.etag:
            return True
        try:
            return self.compare == "checksum" and _same_checksum(
                self.source.head(uri, info.version), self.target.head(target)
            )
        except AccessDenied:
            if self.lenient:
                return False
            raise


def _same_checksum(one: ObjectInfo, other: ObjectInfo) -> bool:
    return bool(one.checksum) and one.checksum == other.checksum


_PROVED_AT_ONCE = 1000


def _moved(
    outcomes: Iterator[Outcome],
    source: Storage,
    target: Storage,
    context: StepContext,
    *,
    by_version: bool,
) -> Iterator[Outcome]:
    """Outcomes of a move: each copy is looked at with its size and ETag, then its source is deleted, if it is still the one that was copied.

    Also of what was skipped as the same: a run that was killed between copy and deletion left it so.
    """
    rest = iter(outcomes)
    for batch in iter(lambda: list(islice(rest, _PROVED_AT_ONCE)), []):
        copied = {
            outcome.uri: outcome
            for outcome in batch
            if outcome.error is None and outcome.source is not None
        }
        yield from (outcome for outcome in batch if outcome.uri not in copied)
        proved = []
        for head in target.head_many(list(copied), context.cancel):
            outcome = copied[head.uri]
            problem = _unproved(outcome, head)
            if problem is not None:
                yield replace(outcome, status="failed", error=problem)
            else:
                proved.append(outcome)
        yield from _sources_deleted(proved, source, context, by_version=by_version)


def _unproved(copied: Outcome, head: Outcome) -> Optional[StepError]:
    if head.error is not None:
        return StepError(
            f"copied, but the copy cannot be looked at, so the source is kept: {head.error.message}",
            hint=head.error.hint,
            type=head.error.type,
        )
    if (
        head.info is None
        or head.info.size != copied.size
        or (copied.etag and head.info.etag != copied.etag)
    ):
        return IntegrityFailed(
            f"{copied.uri}: is not the copy that was made, so the source is kept"
        )
    return None


def _sources_deleted(
    proved: Sequence[Outcome], source: Storage, context: StepContext, *, by_version: bool
) -> Iterator[Outcome]:
    """Deletes the sources of copies that were looked at, each only while it is the very object that was copied."""
    doomed = {
        (each.source, info.version): (each, info)
        for each in proved
        for info in [_source_of(each, by_version=by_version)]
    }
    for deleted in source.delete(
        (info for _, info in doomed.values()), "", context.cancel, unchanged=True
    ):
        outcome, _ = doomed[deleted.uri, deleted.version]
        error = deleted.error
        if error is None:
            yield outcome
        else:
            text = f"copied to {outcome.uri}, but the source could not be deleted: {error.message}"
            yield replace(
                outcome, status="failed", error=StepError(text, hint=error.hint, type=error.type)
            )


def _source_of(copied: Outcome, *, by_version: bool) -> ObjectInfo:
    """The source of a copy as it was copied; without an ETag where that is not known, and then it is not deleted."""
    assert copied.source is not None  # noqa: S101 - of a copy
    info = copied.source_info
    etag, version = (
        (info.etag, info.version if by_version else "") if info is not None else ("", "")
    )
    return ObjectInfo(
        copied.source.key, copied.size, etag, version=version, bucket=copied.source.bucket
    )
