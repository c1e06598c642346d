"""Defines the action ``s3.verify``."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import BeforeValidator, model_validator

from rolerunner.actions.base import (
    Action,
    Field,
    MirroredFolder,
    OutputsWithWarning,
    StepContext,
    handle_empty_source,
)
from rolerunner.actions.comparison_sides import (
    Side,
    fetch_file,
    leave_out,
    list_checksum_file,
    list_folder,
    list_objects,
    list_prefix,
)
from rolerunner.actions.differences import (
    DIFFERENCES,
    REPORT_FORMS,
    DifferenceRecorder,
    describe_differences,
    describe_failures,
)
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.shared_fields import OnEmpty, SourceFields, TransferFields
from rolerunner.actions.source_objects import check_one_source, collect_source
from rolerunner.actions.verification import (
    Comparer,
    compare_sides,
    iterate_undecided,
    write_checksums,
)
from rolerunner.common.file_paths import expand_path
from rolerunner.errors import StepError
from rolerunner.model import Failure, Permission, S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, placeholder_list
from rolerunner.spec.field_types import (
    DYNAMIC,
    Account,
    Flag,
    LocalPath,
    S3Location,
    check_path,
    json_form,
)
from rolerunner.storage.protocol import Storage


def _validate_place(value: Any) -> Any:
    """Returns a local path or the URI of an object. Raises ValueError for anything else."""
    if not isinstance(value, str) or not value.startswith("s3://"):
        return check_path(value)
    if S3Uri.parse(value).is_prefix:
        raise ValueError(f"'{value}' is a prefix; name the object")
    return value


FileOrObject = Annotated[str, BeforeValidator(_validate_place), json_form(type="string"), DYNAMIC]


class S3Verify(SourceFields, FilterFields, TransferFields, Action):
    """Compare the objects of a prefix with another prefix, a folder, or a list of checksums.

    Nothing is copied. Both sides are listed in the order of keys and walked together, so memory
    does not grow with their number. Objects are the same if their sizes are and one of these is:
    the ETag, a checksum that S3 keeps of both (one request for each object), or an MD5 or checksum
    of the local file. An ETag of a multipart upload depends on its parts and proves only equality;
    a pair that nothing decides is ``unproven``, which counts as a difference. With ``read: true``
    the bytes of such pairs are compared. With two roles (``source_role`` and ``target_role``) each
    reads its own side.

    The filters choose by the source's object, or by the target's where the source has none.
    """

    kind: ClassVar[str] = "s3.verify"
    object_verb: ClassVar[str] = "verify"
    counts_transfers: ClassVar[bool] = False
    role_fields: ClassVar[tuple[str, ...]] = ("source_role", "target_role")
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/",
        "target": "s3://archive/orders/",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "same": "how many objects are the same on both sides",
        "bytes": "how many bytes those have",
        "differences": "how many differences there are: the sum of the following four",
        "missing_count": "how many objects the target lacks",
        "extra_count": "how many only the target has",
        "different_count": "how many have other content",
        "unproven_count": "how many nothing but their bytes could decide",
        "missing": "the source's objects that the target lacks, for other steps",
        "extra": "the objects that only the target has, if that is in S3",
        "different": "the source's objects whose content differs",
        "unproven": "the source's objects that nothing but their bytes could decide",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        **dict.fromkeys(("same", "bytes", "differences"), 1),
        **{f"{kind}_count": 1 for kind in DIFFERENCES},
        **dict.fromkeys(DIFFERENCES, EMPTY_LIST),
    }

    target: Optional[S3Location] = Field(
        None,
        description="What to compare with: an object, or a prefix that ends with '/'.",
        examples=["s3://archive/orders/"],
    )
    folder: Optional[LocalPath] = Field(
        None, description="Or a local folder to compare with.", examples=["/tmp/orders/"]
    )
    checksums: Optional[FileOrObject] = Field(
        None,
        description=(
            "Or a list of checksums such as SHA256SUMS or MD5SUMS to compare with: a local file or"
            " an s3:// URI, which source_role reads."
        ),
        examples=["s3://landing/orders/SHA256SUMS", "/tmp/SHA256SUMS"],
    )
    write_checksums: Optional[LocalPath] = Field(
        None,
        description=(
            "Or a file to write as such a list, instead of a comparison; objects whose digest S3"
            " does not report are read."
        ),
        examples=["/tmp/SHA256SUMS"],
    )
    algorithm: Annotated[Literal["SHA256", "SHA1", "MD5"], DYNAMIC] = Field(
        "SHA256",
        description="The algorithm of 'write_checksums'; 'checksums' shows its own.",
        examples=["MD5"],
    )
    compare: Annotated[Literal["checksum", "size"], DYNAMIC] = Field(
        "checksum",
        description="What makes two objects the same: checksum (and size), or size alone.",
        examples=["size"],
    )
    read: Flag = Field(
        False,
        description="Read the bytes where neither ETag nor checksum decides.",
        examples=[True],
    )
    symlinks: Annotated[Literal["follow", "skip", "error"], DYNAMIC] = Field(
        "follow", description="What to do with links in 'folder'.", examples=["skip"]
    )
    expected_source_bucket_owner: Optional[Account] = Field(
        None,
        description="The account that must own the source's bucket.",
        examples=["111122223333"],
    )
    report: Optional[LocalPath] = Field(
        None,
        description="A file with a line for each difference; ends with .jsonl or .csv.",
        examples=["/tmp/differences.csv"],
    )
    on_difference: Annotated[Literal["error", "warn", "ok"], DYNAMIC] = Field(
        "error", description="What to do when the sides differ: error, warn or ok.", examples=["ok"]
    )
    on_empty: OnEmpty = Field(
        "error",
        description="What to do when nothing is on either side: error, warn or ok.",
        examples=["ok"],
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Verify":
        check_one_source(self.source, self.objects, self.kind)
        others = (self.target, self.folder, self.checksums, self.write_checksums)
        if sum(each is not None for each in others) != 1:
            raise ValueError(
                "'s3.verify' takes one of 'target', 'folder', 'checksums' and 'write_checksums'"
            )
        if self.checksums is not None and self.compare == "size":
            raise ValueError("a list of checksums has no sizes; leave out 'compare: size'")
        if isinstance(self.report, str) and not self.report.endswith(REPORT_FORMS):
            raise ValueError(f"'report' must end with one of {', '.join(REPORT_FORMS)}")
        one, other = self.source, self.target
        if (
            isinstance(one, S3Uri)
            and (self.folder is not None or isinstance(other, S3Uri))
            and one.is_prefix != (self.folder is not None or (other or one).is_prefix)
        ):
            raise ValueError(
                "compare an object with an object, or a prefix with a prefix or folder"
            )
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Walks both sides and compares them; the report is there whole, or not at all."""
        comparer = self._open_comparer(context)
        recorder = DifferenceRecorder(context, comparer.source, comparer.target)
        report = str(expand_path(self.report)) if self.report else ""
        with recorder.open(Path(report) if report else None):
            if self.write_checksums is None:
                compare_sides(comparer, self.selection(), recorder)
            else:
                write_checksums(
                    expand_path(self.write_checksums),
                    self.algorithm,
                    comparer.source,
                    self.selection(),
                    recorder,
                    self.may_fail,
                    context.cancel,
                )
        found = recorder.found
        if found.seen == 0:
            handle_empty_source(self.on_empty, f"{self._describe_source()} or its target", context)
        if found.failed > self.may_fail(found.seen):
            raise _to_error(describe_failures(found))
        outputs = {
            "same": found.same,
            "bytes": found.bytes,
            "differences": found.total,
            **{f"{kind}_count": count for kind, count in found.counts.items()},
            **recorder.lists(),
        }
        other = str(self.target or self.folder or self.checksums)
        if found.total and self.on_difference != "ok":
            failure = describe_differences(found, self._describe_source(), other, report)
            if self.on_difference == "error":
                raise _to_error(failure)
            return OutputsWithWarning(outputs, failure)
        return OutputsWithWarning(outputs, describe_failures(found)) if found.failed else outputs

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing both sides, and GetObject for checksums and bytes."""
        return {
            "source_role": [*self._source_permissions(), *self._checksums_permissions()],
            "target_role": self._target_permissions(),
        }

    def _source_permissions(self) -> list[Permission]:
        by_size = self.compare == "size"
        if self.source is None:
            return [] if by_size else source_permissions("s3:GetObject", None, self.objects)
        read = by_size and self.source.is_prefix
        return [
            list_permission(self.source),
            *([] if read else [object_permission("s3:GetObject", self.source)]),
        ]

    def _target_permissions(self) -> list[Permission]:
        if self.target is None:
            return []
        read = self.compare == "size" and self.target.is_prefix
        return [
            list_permission(self.target),
            *([] if read else [object_permission("s3:GetObject", self.target)]),
        ]

    def _checksums_permissions(self) -> list[Permission]:
        uri = self._checksums_uri()
        return [object_permission("s3:GetObject", uri)] if uri is not None else []

    def tracked_paths(
        self, context: StepContext, outputs: Mapping[str, Any]
    ) -> Iterator[Union[str, MirroredFolder]]:
        """Yields the report, and what the source was compared with on this machine."""
        del context, outputs
        for written in (self.report, self.write_checksums):
            if written:
                yield str(expand_path(written))
        if self.folder:
            yield MirroredFolder(str(expand_path(self.folder)))
        if self.checksums and self._checksums_uri() is None:
            yield str(expand_path(self.checksums))

    def list_read_fields(self) -> tuple[str, ...]:
        """Returns both sides."""
        return ("source", "objects", "target")

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns what the listings alone say: counts of same, missing, extra and different."""
        comparer = self._open_comparer(context)
        recorder = DifferenceRecorder(context, comparer.source, comparer.target)
        with (
            recorder.open(None),
            closing(iterate_undecided(comparer, self.selection(), recorder)) as pairs,
        ):
            undecided = sum(1 for _ in pairs)
        found = recorder.found
        if self.write_checksums is not None:
            return {"count": found.total}
        kinds = {kind: found.counts[kind] for kind in DIFFERENCES if kind != "unproven"}
        return {"same": found.same, **kinds, "undecided": undecided}

    @classmethod
    def sample(cls, output: str, fields: Mapping[str, Any]) -> Any:
        """Returns for a list one with the place of its objects."""
        place = fields.get("target" if output == "extra" else "source")
        if output in DIFFERENCES and isinstance(place, S3Uri):
            return placeholder_list(place, versions=None)
        return super().sample(output, fields)

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the lists of objects under the source and, of extra ones, under the target."""
        listed = self.objects.prefix if isinstance(self.objects, ObjectList) else None
        source = self.source or listed
        places = {kind: self.target if kind == "extra" else source for kind in DIFFERENCES}
        return {
            kind: placeholder_list(place) for kind, place in places.items() if place is not None
        }

    def _describe_source(self) -> str:
        return str(self.source or "the listed objects")

    def _checksums_uri(self) -> Optional[S3Uri]:
        is_uri = isinstance(self.checksums, str) and self.checksums.startswith("s3://")
        return S3Uri.parse(str(self.checksums)) if is_uri else None

    def _open_comparer(self, context: StepContext) -> Comparer:
        pacer = self.flow()
        access = self.access(owner=self.expected_source_bucket_owner)
        storage = context.storage("source_role", access, pacer)
        source = (
            list_objects(storage, self._collect_objects(storage, context))
            if self.objects is not None
            else list_prefix(storage, self.source or S3Uri(""), context.cancel)
        )
        target = self._open_target(context, storage, partial(context.storage, "target_role"), pacer)
        uri = self._checksums_uri()
        if self.target is None:
            source = leave_out(source, uri)
        return Comparer(source, target, self.compare == "size", self.read, context.cancel)

    def _collect_objects(self, storage: Storage, context: StepContext) -> ObjectList:
        """Returns the listed objects with what S3 reports of them. Raises StepError."""
        found = collect_source(None, self.objects, Selection(), storage, context)
        if found.refused and found.refused[0].error is not None:
            raise found.refused[0].error
        return found.objects

    def _open_target(
        self, context: StepContext, storage: Storage, open_storage: Any, pacer: Any
    ) -> Side:
        if self.target is not None:
            theirs = open_storage(self.access(), pacer)
            return list_prefix(theirs, self.target, context.cancel)
        if self.folder is not None:
            return list_folder(expand_path(self.folder), self.symlinks)
        if self.checksums is None:
            return Side(lambda: iter(()))
        uri = self._checksums_uri()
        if uri is None:
            return list_checksum_file(expand_path(self.checksums))
        path = context.manifest_path(".checksums")
        return list_checksum_file(fetch_file(uri, storage, path, context.cancel))


def _to_error(failure: Failure) -> StepError:
    return StepError(failure.message, hint=failure.hint, type=failure.type)
