"""Defines the action ``s3.unpack``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import ValidationInfo, model_validator

from rolerunner.actions.archive_formats import FORMATS, find_format, list_archive_extras
from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.existing_fields import ExistingFields
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.object_plans import (
    ObjectPlan,
    Report,
    check_not_empty,
    report_refused,
)
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.shared_fields import SourceFields, TransferFields
from rolerunner.actions.source_objects import SourceObjects, check_one_source, collect_source
from rolerunner.actions.targets import OverlapError, refuse_overlap
from rolerunner.actions.unpacking import Unpacking
from rolerunner.errors import StepError
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, Origin, placeholder_list
from rolerunner.spec.field_types import (
    DYNAMIC,
    TEMPLATES_ALLOWED,
    Account,
    Bytes,
    CustomerKey,
    Flag,
    S3Location,
)
from rolerunner.storage.codecs import check_installed
from rolerunner.storage.decompression import MAX_RATIO
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Storage


class S3Unpack(FilterFields, ExistingFields, PutFields, TransferFields, SourceFields, Action):
    """Unpack archives in S3 to a prefix: tar, tar.gz, tar.zst, tar.bz2, tar.xz and zip.

    An archive is read under ``source_role``, and each of its files is stored as an object under
    ``target_role``, small ones several at once. The disk is not used, and memory stays bounded.
    Archives are not trusted: names that would leave the target, links and devices, two members of
    one name, content that is much larger than the archive, and archives that are damaged or cut
    short are errors that name the member. By default an archive is read twice, and nothing is
    stored before all of it has been checked.
    """

    kind: ClassVar[str] = "s3.unpack"
    stores_objects: ClassVar[bool] = True
    role_fields: ClassVar[tuple[str, ...]] = ("source_role", "target_role")
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/2026-01-31.tar.gz",
        "target": "s3://lake/orders/2026-01-31/",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects at the target, for other steps",
        "count": "how many members were unpacked",
        "bytes": "how many bytes they have",
        "skipped": "how many already existed",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST,
        "count": 1,
        "bytes": 1,
        "skipped": 1,
    }

    source: Optional[S3Location] = Field(
        None,
        description="The archive, or a prefix that ends with '/' and has archives only.",
        examples=["s3://landing/orders.tar.gz"],
    )
    target: S3Location = Field(
        description="The prefix to store the members under.", examples=["s3://lake/orders/"]
    )
    format: Optional[
        Annotated[Literal["tar", "tar.gz", "tar.zst", "tar.bz2", "tar.xz", "zip"], DYNAMIC]
    ] = Field(
        None,
        description="The format of the archives; by default what the suffix of each says.",
        examples=["tar.gz"],
    )
    check_first: Flag = Field(
        True,
        description=(
            "Read each archive once before anything is stored, and store nothing if it has"
            " mistakes. False reads it once, and stores what comes before a mistake."
        ),
        examples=[False],
    )
    max_bytes: Optional[Bytes] = Field(
        None,
        description="Maximum number of bytes that one archive may become.",
        examples=["500GB"],
    )
    max_ratio: Annotated[int, Field(ge=1), DYNAMIC] = Field(
        MAX_RATIO,
        description=(
            "How many times its own size an archive may become. The first 16 MiB do not count."
        ),
        examples=[1000],
    )
    special: Annotated[Literal["error", "skip"], DYNAMIC] = Field(
        "error",
        description=(
            "What to do with members that are no files (links, devices, sparse files):"
            " error or skip. Folders are left out."
        ),
        examples=["skip"],
    )
    compare: Annotated[Literal["checksum", "size"], DYNAMIC] = Field(
        "checksum",
        description=(
            "How objects are compared: checksum or size. With checksum, members of 16 MiB and"
            " more are stored again."
        ),
        examples=["size"],
    )
    expected_source_bucket_owner: Optional[Account] = Field(
        None,
        description="The account that must own the source's bucket.",
        examples=["111122223333"],
    )
    customer_key: Optional[CustomerKey] = Field(
        None,
        description="The SSE-C key of the archives in base64, preferably from a param.",
        examples=["${{ params.customer_key }}"],
    )

    @classmethod
    def list_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extra for zstd if an archive may be a tar.zst."""
        source, objects = fields.get("source"), fields.get("objects")
        named = [source] if source is not None else objects if isinstance(objects, list) else []
        is_single = all(not str(each).endswith("/") for each in named)
        globs = fields.get("include")
        if not (named and is_single) and isinstance(globs, list):
            named = globs
        return list_archive_extras(fields.get("format"), named)

    @model_validator(mode="after")
    def _makes_sense(self, info: ValidationInfo) -> "S3Unpack":
        check_one_source(self.source, self.objects, self.kind)
        source = self.source
        if (
            isinstance(source, S3Uri)
            and not source.is_prefix
            and self.format is None
            and not source.key.endswith("*")
            and find_format(source.key) is None
        ):
            raise ValueError(
                f"the suffix of '{source}' names no format of archives: set 'format'"
                f" ({', '.join(FORMATS)})"
            )
        if info.context is not None and info.context.items() >= TEMPLATES_ALLOWED.items():
            self._refuse_overlap()
        return self

    def _refuse_overlap(self) -> None:
        """Raises OverlapError if a prefix of archives and the target overlap."""
        source, target = self.source, self.target
        if source is not None and getattr(source, "is_prefix", True):
            refuse_overlap(Origin(source), target, move=False)
            if isinstance(source, S3Uri) and source.as_folder() == target.as_folder():
                raise OverlapError(
                    f"'target' {target} is 'source' too, so unpacked objects would be taken for"
                    " archives"
                )
        elif isinstance(self.objects, ObjectList) and self.objects.origin is not None:
            refuse_overlap(self.objects.origin, self.target, move=False, listed=True)

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Unpacks the archives, one after the other."""
        if self.format is not None:
            check_installed(FORMATS[self.format].codec)
        try:
            self._refuse_overlap()
        except OverlapError as error:
            raise StepError(str(error), hint=error.hint, type="TargetInSource") from None
        pacer = self.flow()
        source, target = self._open_storages(context, pacer)
        gathered = self._collect(source, context)
        place = self.target.as_folder()
        if gathered.total == 0:
            handle_empty_source(self.on_empty, self.source_name, context)
            return {"objects": placeholder_list(place), "count": 0, "bytes": 0, "skipped": 0}
        unpacking = Unpacking(self, gathered, source, target, context)
        if self.check_first:
            unpacking.check()
        done = record_outcomes(
            target.store(unpacking, context.cancel), context, place, self, pacer, None
        )
        return done.outputs(objects=done.objects, skipped=done.skipped)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing and reading the archives; storing objects, and looking for existing ones."""
        place = self.target if self.target.key.endswith("*") else self.target.as_folder()
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
        """Returns the list of objects under the target."""
        return {"objects": placeholder_list(self.target.as_folder(), versions=None)}

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes of the archives."""
        found = self._collect(self._open_storages(context, self.flow())[0], context)
        return found.summary()

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports the archives; their members are known only when they are read."""
        found = self._collect(self._open_storages(context, self.flow())[0], context)
        check_not_empty(found, self, context)
        report_refused(found, report)
        for info in found.objects:
            uri = str(found.objects.uri(info))
            report(ObjectPlan("unpack", uri, f"below {self.target.as_folder()}", size=info.size))

    def _collect(self, source: Storage, context: StepContext) -> SourceObjects:
        return collect_source(self.source, self.objects, Selection.of((), ()), source, context)

    def _open_storages(self, context: StepContext, pacer: Pacer) -> tuple[Storage, Storage]:
        access = self.access(
            owner=self.expected_source_bucket_owner, customer_key=self.customer_key
        )
        return (
            context.storage("source_role", access, pacer),
            context.storage("target_role", self.access(customer_key=self.stored_key), pacer),
        )
