"""Defines the action ``s3.pack``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import model_validator

from rolerunner.actions.archive_formats import (
    FORMATS,
    PACKED,
    archive_pattern,
    find_format,
    list_archive_extras,
    number_archive,
)
from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.existing_fields import IfExists
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.packing import CONTENT_KEY, Packing, is_archive_of, own_archive_error
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.shared_fields import SourceFields, TransferFields
from rolerunner.actions.source_objects import SourceObjects, check_one_source, collect_source
from rolerunner.actions.targets import claim_target
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, placeholder_list
from rolerunner.spec.field_types import DYNAMIC, Account, Bytes, CustomerKey, S3Object
from rolerunner.storage.codecs import check_installed
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Storage

MIB = 1 << 20


class S3Pack(FilterFields, PutFields, TransferFields, SourceFields, Action):
    """Pack many objects into an archive in S3: tar, tar.gz, tar.zst or zip.

    Objects are read under ``source_role``, several at once, and go into the archive in the order
    of their keys (or of the list), while the archive is stored in parts under ``target_role``. The
    disk is not used, and memory stays bounded whatever the number and size of the objects. A
    member's name is the object's key relative to the source, its time that of the object, and its
    owner 0; so the same objects give the same bytes. An archive appears when it is complete; if a
    step fails, nothing of it is left.
    """

    kind: ClassVar[str] = "s3.pack"
    object_verb: ClassVar[str] = "pack"
    stores_objects: ClassVar[bool] = True
    role_fields: ClassVar[tuple[str, ...]] = ("source_role", "target_role")
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/2026-01-31/",
        "target": "s3://archive/orders/2026-01-31.tar.gz",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the archives, for other steps",
        "count": "how many objects were packed",
        "bytes": "how many bytes they have",
        "skipped": "how many objects are in archives that already existed",
        "archives": "how many archives there are",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST,
        "count": 1,
        "bytes": 1,
        "skipped": 1,
        "archives": 1,
    }

    target: S3Object = Field(
        description="The archive to write. With max_archive_size, a number goes before its suffix.",
        examples=["s3://archive/orders.tar.gz"],
    )
    format: Optional[Annotated[Literal["tar", "tar.gz", "tar.zst", "zip"], DYNAMIC]] = Field(
        None,
        description="tar, tar.gz, tar.zst or zip; by default what the target's suffix says.",
        examples=["tar.gz"],
    )
    level: Optional[Annotated[int, Field(ge=0, le=22), DYNAMIC]] = Field(
        None,
        description=(
            "The level of compression: 0 to 9 for tar.gz and zip (6 by default),"
            " 1 to 22 for tar.zst (3)."
        ),
        examples=[9],
    )
    max_archive_size: Optional[Annotated[Bytes, Field(ge=MIB)]] = Field(
        None,
        description=(
            "Begin another archive when the objects of one have so many bytes before"
            " compression; the archives are numbered from 00001."
        ),
        examples=["10GB"],
    )
    if_exists: IfExists = Field(
        "overwrite",
        description=(
            "What to do when the archive exists; skip_same keeps one that was packed from"
            " the same objects."
        ),
        examples=["skip_same"],
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

    @classmethod
    def list_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extra for zstd if the archive may be a tar.zst."""
        return list_archive_extras(fields.get("format"), [fields.get("target")])

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Pack":
        check_one_source(self.source, self.objects, self.kind)
        self._check_format()
        if isinstance(self.source, S3Uri) and isinstance(self.target, S3Uri):
            self._refuse_own_archive()
        return self

    def _check_format(self) -> None:
        named = self.format
        if named is None and isinstance(self.target, S3Uri):
            named = find_format(self.target.key, PACKED)  # type: ignore[assignment]
            if named is None:
                raise ValueError(
                    f"the suffix of '{self.target}' names no format: end it with .tar, .tar.gz,"
                    " .tar.zst or .zip, or set 'format'"
                )
        if named not in FORMATS or not isinstance(self.level, int):
            return
        if named == "tar":
            raise ValueError("'level' needs a format that compresses: tar.gz, tar.zst or zip")
        low, high = (1, 22) if named == "tar.zst" else (0, 9)
        if not low <= self.level <= high:
            raise ValueError(f"'level' of {named} is {low} to {high}, not {self.level}")

    def _refuse_own_archive(self) -> None:
        """Raises ValueError if the step would pack its own archive when it runs again."""
        source, target = self.source, self.target
        if source is None or self.has_templates_in_globs():
            return
        written = target if self.max_archive_size is None else number_archive(target, 1)
        if not source.is_prefix:
            inside = is_archive_of(source, target, self.max_archive_size)
        else:
            folder = source.key[: source.key.rfind("/") + 1]
            inside = (
                written.bucket == source.bucket
                and written.key.startswith(source.key)
                and self.selection().matches_name(written.key[len(folder) :])
            )
        if inside:
            error = own_archive_error(written)
            raise ValueError(f"{error.message}: {error.hint.removeprefix('nothing was packed; ')}")

    def format_name(self) -> str:
        """Returns the archive's format."""
        return self.format or find_format(self.target.key, PACKED) or "tar"

    def archive_options(self, digest: str) -> dict[str, Any]:
        """Returns the options of an archive; ``digest`` tells what was packed."""
        options = self.put_options()
        metadata = {**options.get("Metadata", {}), **({CONTENT_KEY: digest} if digest else {})}
        return {
            "ContentType": FORMATS[self.format_name()].content_type,
            **options,
            **({"Metadata": metadata} if metadata else {}),
        }

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Writes the archives, one after the other."""
        check_installed(FORMATS[self.format_name()].codec)
        pacer = self.flow()
        source, target = self._open_storages(context, pacer)
        gathered = self._collect(source, context)
        if gathered.total == 0:
            handle_empty_source(self.on_empty, self.source_name, context)
            empty = {"count": 0, "bytes": 0, "skipped": 0, "archives": 0}
            return {"objects": placeholder_list(self.target), **empty}
        packing = Packing(self, gathered, source, target, context)
        packing.check_names()
        claim_target(self.target, "the archive", context)
        with context.manifest() as archives:
            done = record_outcomes(
                packing.pack(archives), context, gathered.objects.prefix, self, pacer, gathered,
                part=".members",
            )  # fmt: skip
        stored = archives.objects(self.target)
        return done.outputs(objects=stored, skipped=done.skipped, archives=stored.count)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing and reading the source; storing the archives, and looking for existing ones."""
        place = self._place()
        written = self.put_permissions(place)
        if self.if_exists in ("skip", "skip_same"):
            written += [list_permission(place), object_permission("s3:GetObject", place)]
        return {
            "source_role": [
                *([list_permission(self.source)] if self.source is not None else []),
                *source_permissions("s3:GetObject", self.source, self.objects),
            ],
            "target_role": written,
        }

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the list of archives."""
        return {"objects": placeholder_list(self._place(), versions=None)}

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes of the objects, and how many archives they would make."""
        source, target = self._open_storages(context, self.flow())
        found = self._collect(source, context)
        packing = Packing(self, found, source, target, context)
        return {**found.summary(), "archives": sum(1 for _ in packing.plan())}

    def _place(self) -> S3Uri:
        return self.target if self.max_archive_size is None else archive_pattern(self.target)

    def _collect(self, source: Storage, context: StepContext) -> SourceObjects:
        return collect_source(self.source, self.objects, self.selection(), source, context)

    def _open_storages(self, context: StepContext, pacer: Pacer) -> tuple[Storage, Storage]:
        access = self.access(
            owner=self.expected_source_bucket_owner, customer_key=self.customer_key
        )
        return (
            context.storage("source_role", access, pacer),
            context.storage("target_role", self.access(customer_key=self.stored_key), pacer),
        )
