"""Fields and work that all actions on objects share: which objects, how fast, and how many may fail."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import AfterValidator, BeforeValidator

from rolerunner.actions.base import Field, OutputsWithWarning, StepContext
from rolerunner.common.wording import format_count
from rolerunner.errors import StepError
from rolerunner.events import StepProgress
from rolerunner.model import Failure, S3Uri
from rolerunner.redaction.secrets import register_credential
from rolerunner.selection.filters import Selection, check_globs
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.expressions import Template
from rolerunner.spec.fields import (
    DYNAMIC,
    Account,
    Bytes,
    Flag,
    Rate,
    Seconds,
    Strict,
    Text,
    json_form,
)
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, Outcome, Storage

_SHOWN = 3
"""Failures of objects that a message names."""
_PROGRESS_EVERY = 0.1
"""Seconds between two words on how far a step is: a million objects are not a million events."""
_HOPELESS = 100
"""So many failures before the first success stop the step: every one of a million would be refused the same way."""


def _objects(value: Any) -> Any:
    if isinstance(value, list):
        return [S3Uri.parse(each) if isinstance(each, str) else each for each in value]
    return value


def _allowed(value: Any) -> Any:
    if isinstance(value, str):
        number = value[:-1].strip() if value.endswith("%") else ""
        if not number.isdigit() or int(number) > 100:  # noqa: PLR2004 - percent
            raise ValueError(f"must be a number or a percentage such as 5%, not '{value}'")
    return value


def _check_globs(globs: list[Any]) -> list[Any]:
    check_globs([each for each in globs if isinstance(each, str)])
    return globs


ObjectsField = Annotated[
    Union[ObjectList, list[S3Uri], None],
    BeforeValidator(_objects),
    json_form(
        anyOf=[
            {"type": "string", "pattern": r"\$\{\{"},
            {"type": "array", "items": {"type": "string"}},
        ]
    ),
    DYNAMIC,
]
"""Objects that another step listed, or a list of s3:// URIs."""
OnEmpty = Annotated[Literal["error", "warn", "ok"], DYNAMIC]
IfExists = Annotated[Literal["overwrite", "skip", "skip_same", "fail"], DYNAMIC]
Compare = Annotated[Literal["checksum", "etag", "size", "size_mtime"], DYNAMIC]
Allowed = Annotated[
    Union[int, str], BeforeValidator(_allowed), json_form(type=["integer", "string"]), DYNAMIC
]
MaxDelete = Annotated[int, Field(ge=1), DYNAMIC]
Globs = Annotated[list[Text], AfterValidator(_check_globs)]


def read_globs(fields: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Include and exclude of a step's fields, which may hold templates and mistakes; the latter are reported elsewhere."""

    def globs(value: Any) -> list[Any]:
        return [
            each
            for each in (value if isinstance(value, list) else [value])
            if isinstance(each, (str, Template))
        ]

    return globs(fields.get("include")), globs(fields.get("exclude"))


class FilterFields(Strict):
    """Which objects or files are meant."""

    include: Globs = Field(
        default_factory=list,
        description="Globs over keys relative to the source's folder; '**' crosses folders.",
        examples=[["**/*.csv.gz"]],
    )
    exclude: Globs = Field(
        default_factory=list, description="Globs of those to leave out.", examples=[["**/_*"]]
    )
    min_size: Bytes = Field(0, description="Leave out smaller ones.", examples=["1B"])
    max_size: Optional[Bytes] = Field(None, description="Leave out larger ones.", examples=["5GB"])
    min_age: Optional[Seconds] = Field(
        None, description="Leave out those modified less long ago.", examples=["10m"]
    )
    max_age: Optional[Seconds] = Field(
        None, description="Leave out those modified longer ago.", examples=["7d"]
    )

    def selection(self) -> Selection:
        """As a predicate; ages count from now."""
        now = datetime.now(timezone.utc)
        before, after = (
            "" if age is None else format_timestamp(now - timedelta(seconds=age))
            for age in (self.min_age, self.max_age)
        )
        return Selection(
            tuple(self.include), tuple(self.exclude), self.min_size, self.max_size, before, after
        )


class RequestFields(Strict):
    """What requests say of themselves."""

    request_payer: Flag = Field(
        False,
        description="The job pays for the requests, where the bucket asks for that.",
        examples=[True],
    )
    expected_bucket_owner: Optional[Account] = Field(
        None,
        description="The account that must own the bucket; S3 refuses otherwise.",
        examples=["111122223333"],
    )

    def access(self, *, owner: Optional[str] = None, customer_key: Optional[str] = None) -> Access:
        """For the engine."""
        return Access(
            self.request_payer,
            owner or self.expected_bucket_owner or "",
            register_credential(customer_key) if customer_key else "",
        )


class DistributionFields(Strict):
    """On which machines."""

    distribute: Optional[Annotated[Literal["spark"], DYNAMIC]] = Field(
        None,
        description="spark: spread the objects over the executors of a Spark job, each of which assumes the roles itself.",
        examples=["spark"],
    )


class TransferFields(RequestFields):
    """How fast objects go, and how many may fail."""

    max_failures: Allowed = Field(
        0,
        description="So many objects (or so many percent) may fail: the step then ends as warning.",
        examples=[3, "1%"],
    )
    max_requests_per_second: Optional[Annotated[int, Field(ge=1), DYNAMIC]] = Field(
        None, description="Requests a second at most, all threads together.", examples=[500]
    )
    bandwidth: Optional[Rate] = Field(
        None, description="Bytes a second at most, all threads together.", examples=["50MB/s"]
    )

    def flow(self) -> Pacer:
        """For the engine."""
        return Pacer(requests_per_second=self.max_requests_per_second, bandwidth=self.bandwidth)

    def may_fail(self, total: int) -> int:
        """How many of so many objects may fail."""
        said = self.max_failures
        return total * int(said[:-1]) // 100 if isinstance(said, str) else said


def format_timestamp(moment: datetime) -> str:
    """As S3 tells moments."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def format_mtime(mtime: float) -> str:
    """A file's time of modification, as S3 tells moments."""
    return format_timestamp(datetime.fromtimestamp(mtime, timezone.utc))


def name_digest(name: str) -> bytes:
    """Eight bytes for a name: a million fit into memory. Two names that share them keep what could be deleted, never the other way round."""
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def check_one_source(source: Optional[S3Uri], objects: Any, action: str) -> None:
    """Exactly one of the two. Raises ValueError."""
    if (source is None) == (objects is None):
        raise ValueError(f"'{action}' takes either 'source' or 'objects'")


@dataclass(frozen=True)
class SourceObjects:
    """What a step works on, listed whole before anything is touched; ``refused`` are objects that could not be looked at."""

    objects: ObjectList
    refused: tuple[Outcome, ...] = ()

    @property
    def total(self) -> int:
        """Objects, with those refused."""
        return self.objects.count + len(self.refused)

    def summary(self) -> Mapping[str, Any]:
        """Count and bytes of the objects; how many could not be looked at, and why the first could not."""
        first = self.refused[0].error if self.refused else None
        refused = (
            {
                "refused": f"{format_count(len(self.refused), 'object')}, the first since {first.message}"
            }
            if first is not None
            else {}
        )
        return {"count": self.total, "bytes": self.objects.bytes, **refused}


def collect_source(
    source: Optional[S3Uri], objects: Any, chosen: Selection, storage: Storage, context: StepContext, *, versions: bool = False,
    on_left_out: Optional[Callable[[str], None]] = None,
) -> SourceObjects:  # fmt: skip
    """The objects that are meant, on disk. Raises StepError; a listing that breaks off gives nothing.

    ``on_left_out`` is called with the relative key of each that the source has and the filters leave out.
    """
    if isinstance(objects, ObjectList) and chosen.selects_everything:
        return SourceObjects(objects)
    prefix = (
        source
        if source is not None
        else objects.prefix
        if isinstance(objects, ObjectList)
        else _common(objects)
    )
    flat = objects.flat if isinstance(objects, ObjectList) else objects is not None
    refused: list[Outcome] = []
    with context.manifest(".source") as manifest:
        listed = manifest.objects(prefix, flat=flat)
        all_are_meant = chosen.selects_everything
        for number, info in enumerate(
            _found(source, objects, storage, context, refused, versions=versions), 1
        ):
            if all_are_meant or chosen(listed.relative(info), info.size, info.modified):
                manifest.add_object(info)
            elif on_left_out is not None and not info.deleted:
                on_left_out(listed.relative(info))
            if number % 1000 == 0:
                context.cancel.stop_if_set()
    return SourceObjects(manifest.objects(prefix, flat=flat), tuple(refused))


def _found(
    source: Optional[S3Uri],
    objects: Any,
    storage: Storage,
    context: StepContext,
    refused: list[Outcome],
    *,
    versions: bool,
) -> Iterator[Any]:
    if isinstance(objects, ObjectList):
        yield from objects
    elif source is not None and (source.is_prefix or versions):
        listed = storage.list(source, versions=versions, cancel=context.cancel)
        yield from (
            listed if source.is_prefix else (info for info in listed if info.key == source.key)
        )
    else:
        wanted = list(dict.fromkeys([source] if source is not None else objects))
        bucket = _common(wanted).bucket
        outcomes = {outcome.uri: outcome for outcome in storage.head_many(wanted, context.cancel)}
        for uri in wanted:
            outcome = outcomes[uri]
            if outcome.info is None:
                refused.append(outcome)
            else:
                yield replace(outcome.info, bucket="" if uri.bucket == bucket else uri.bucket)


def _common(uris: Sequence[S3Uri]) -> S3Uri:
    """The prefix of a list of objects: the folder of a single one, or the bucket of the first."""
    if not uris:
        return S3Uri("none")
    return S3Uri(
        uris[0].bucket, uris[0].key[: uris[0].key.rfind("/") + 1] if len(uris) == 1 else ""
    )


@dataclass(frozen=True)
class TransferSummary:
    """What became of many objects: how many were done, their bytes, how many were right already."""

    objects: ObjectList
    count: int
    bytes: int
    skipped: int
    failed: int
    warning: Optional[Failure]

    def outputs(self, **more: Any) -> Mapping[str, Any]:
        """The step's outputs; they carry the warning, if there is one."""
        first = next(iter(more))
        outputs = {first: more[first], "count": self.count, "bytes": self.bytes, **more}
        return OutputsWithWarning(outputs, self.warning) if self.warning else outputs


class _Meter:
    """Counts objects and bytes, and says how far the step is."""

    def __init__(self, context: StepContext, total: int, total_bytes: int) -> None:
        self._context = context
        self._total, self._total_bytes = total, total_bytes
        self.objects = self.moved = 0
        self._told = 0.0

    def bytes_moved(self, count: int) -> None:
        self.moved += count
        self.tell()

    def tell(self) -> None:
        now = time.monotonic()
        if now - self._told < _PROGRESS_EVERY:
            return
        self._told = now
        self._context.progress(
            StepProgress(
                self._context.step_id, self.objects, self.moved, self._total, self._total_bytes
            )
        )


def record_outcomes(
    outcomes: Iterable[Outcome],
    context: StepContext,
    prefix: S3Uri,
    step: TransferFields,
    flow: Pacer,
    gathered: Optional[SourceObjects],
) -> TransferSummary:
    """Drain an operation over objects: a line of the manifest and progress for each. ``prefix`` is where its objects are.

    Raises StepError if more objects failed than may; the others are done then.
    """
    meter = _Meter(
        context, gathered.total if gathered else 0, gathered.objects.bytes if gathered else 0
    )
    flow.listener = meter.bytes_moved
    done = size = skipped = failed = 0
    first: list[Outcome] = []
    with context.manifest() as manifest, _over(outcomes):
        for outcome in outcomes:
            manifest.add_outcome(outcome, prefix.bucket)
            if outcome.error is not None:
                failed += 1
                first += [outcome] if len(first) < _SHOWN else []
            elif outcome.status == "skipped":
                skipped += 1
            else:
                done, size = done + 1, size + outcome.size
            meter.objects += 1
            meter.tell()
            if failed >= _HOPELESS and failed == meter.objects:
                break
    context.cancel.stop_if_set()
    warning = _failure(first, failed, meter.objects, manifest.path) if first else None
    if warning is not None and failed > step.may_fail(
        max(meter.objects, gathered.total if gathered else 0)
    ):
        raise warning
    told = Failure(warning.type, warning.message, warning.hint) if warning is not None else None
    return TransferSummary(manifest.objects(prefix), done, size, skipped, failed, told)


@contextmanager
def _over(outcomes: Iterable[Outcome]) -> Iterator[None]:
    """With the block the operation is over: what is in flight stops here, and not in whichever thread finds its iterator unused."""
    try:
        yield
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


def _failure(first: Sequence[Outcome], failed: int, total: int, manifest: Any) -> StepError:
    error = first[0].error
    assert error is not None  # noqa: S101 - they are failed ones
    if total == 1:
        return error
    reasons = "; ".join(f"{each.uri}: {each.error.message}" for each in first if each.error)
    more = f"; and {failed - len(first):,} more" if failed > len(first) else ""
    given_up = (
        ", and none succeeded, so no more were tried"
        if failed >= _HOPELESS and failed == total
        else ""
    )
    hint = "\n".join(
        each for each in (error.hint, f"each object has its line in {manifest}") if each
    )
    return StepError(
        f"{failed:,} of {total:,} objects failed{given_up}: {reasons}{more}",
        hint=hint,
        type=error.type,
    )


def deletion_limit_error(count: int, most: int, noun: str, where: str = "") -> StepError:
    """More would be deleted than may; nothing was."""
    return StepError(
        f"{format_count(count, noun)}{where} would be deleted, 'max_delete' is {most:,}; nothing was deleted",
        type="MaxDelete",
    )
