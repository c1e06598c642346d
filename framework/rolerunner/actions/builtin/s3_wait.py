"""Defines the action ``s3.wait``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Optional, Union

from pydantic import BeforeValidator

from rolerunner.actions.archives import iterate_unreadable
from rolerunner.actions.base import Action, Field, StepContext, iter_polls
from rolerunner.actions.filter_fields import FilterFields, read_globs
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.polling_fields import interval_field, max_wait_field
from rolerunner.actions.shared_fields import RequestFields
from rolerunner.common.cancellation import Cancel
from rolerunner.common.wording import format_count
from rolerunner.errors import NotFound, StepError
from rolerunner.events import StepProgress
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import (
    EMPTY_LIST,
    ManifestWriter,
    ObjectList,
    Origin,
    placeholder_list,
)
from rolerunner.spec.field_types import DYNAMIC, Bytes, Flag, S3Location, Seconds, json_form
from rolerunner.storage.protocol import Storage


def _validate_uris(value: Any) -> Any:
    if isinstance(value, list):
        if not value:
            raise ValueError("is an empty list: name a prefix or an object to wait for")
        return [S3Uri.parse(each) if isinstance(each, str) else each for each in value]
    return S3Uri.parse(value) if isinstance(value, str) else value


Sources = Annotated[
    Union[S3Uri, list[S3Location]],
    BeforeValidator(_validate_uris),
    json_form(
        anyOf=[
            {"type": "string", "pattern": r"^s3://|\$\{\{"},
            {"type": "array", "items": {"type": "string", "pattern": r"^s3://|\$\{\{"}},
        ]
    ),
    DYNAMIC,
]


class S3Wait(FilterFields, RequestFields, Action):
    """Wait until objects exist, by number, size and age, under one prefix or under each of several.

    ``min_age`` waits until the objects have not been written to for a while. Objects that do not
    pass the filters do not count.
    """

    kind: ClassVar[str] = "s3.wait"
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"min_count": 24, "min_age": "5m", "max_wait": "2h"}
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects that exist, for other steps",
        "count": "how many objects",
        "bytes": "their total size",
    }
    samples: ClassVar[Mapping[str, Any]] = {"objects": EMPTY_LIST, "count": 1, "bytes": 1}

    source: Sources = Field(
        description="A prefix, an object, or a list of them; each must have its objects.",
        examples=["s3://landing/orders/", ["s3://landing/a/", "s3://landing/b/"]],
    )
    min_count: Annotated[int, Field(ge=1), DYNAMIC] = Field(
        1, description="Minimum number of objects under each source.", examples=[24]
    )
    min_bytes: Bytes = Field(
        0, description="Minimum total size of the objects under each source.", examples=["1GB"]
    )
    restored: Flag = Field(
        False,
        description="Wait also until archived objects are restored, so that they can be read.",
        examples=[True],
    )
    interval: Seconds = interval_field(30.0, "two listings", example="1m")
    max_wait: Seconds = max_wait_field(3600.0)

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists the sources repeatedly until every object exists."""
        storage = context.storage(access=self.access())
        missing: list[str] = []
        for _ in iter_polls(context, self.interval, self.max_wait):
            missing, objects = self._check_sources(storage, context)
            if not missing:
                return {"objects": objects, "count": objects.count, "bytes": objects.bytes}
            context.progress(
                StepProgress(
                    context.step_id,
                    objects.count,
                    objects.bytes,
                    self.min_count * len(self._list_sources()),
                )
            )
        hint = "raise 'max_wait', or find out why the objects are late"
        raise StepError(
            f"not complete after {self.max_wait:g} s: {'; '.join(missing)}",
            hint=hint,
            type="WaitTimeout",
        )

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """ListBucket under each source; GetObject for 'restored'."""
        sources = self._list_sources()
        read = [object_permission("s3:GetObject", each) for each in sources if self.restored]
        return {"role": [*(list_permission(source) for source in sources), *read]}

    @classmethod
    def sample(cls, output: str, fields: Mapping[str, Any]) -> Any:
        """Returns for the list one with the origin of its objects, if that is one place."""
        source = fields.get("source")
        (one, *more) = source if isinstance(source, list) and source else [source]
        if output != "objects" or more:
            return super().sample(output, fields)
        return replace(EMPTY_LIST, origin=Origin(one, (read_globs(fields),)))

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the list of objects under the prefix."""
        return (
            {"objects": placeholder_list(self._list_sources()[0])}
            if len(self._list_sources()) == 1
            else {}
        )

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns what exists, and what is missing."""
        missing, objects = self._check_sources(context.storage(access=self.access()), context)
        return {
            "count": objects.count,
            "bytes": objects.bytes,
            **({"missing": "; ".join(missing)} if missing else {}),
        }

    def _list_sources(self) -> list[S3Uri]:
        return list(self.source) if isinstance(self.source, list) else [self.source]

    def _check_sources(
        self, storage: Storage, context: StepContext
    ) -> tuple[list[str], ObjectList]:
        """Returns what is missing, and the objects that exist."""
        sources = self._list_sources()
        missing = []
        with context.manifest() as manifest:
            for source in sources:
                missing += self._missing_under(
                    source, storage, manifest, sources[0].bucket, context.cancel
                )
        objects = manifest.objects(sources[0] if len(sources) == 1 else S3Uri(sources[0].bucket))
        if self.restored and not missing:
            waiting = iterate_unreadable(objects, objects, storage, context.cancel)
            count = sum(1 for _ in waiting)
            missing += [f"{format_count(count, 'object')} not restored yet"] if count else []
        return missing, objects

    def _missing_under(
        self, source: S3Uri, storage: Storage, manifest: ManifestWriter, bucket: str, cancel: Cancel
    ) -> list[str]:
        means = self.selection()
        before, size = manifest.count, manifest.bytes
        try:
            for info in storage.list(source, cancel=cancel):
                relative = placeholder_list(source).relative(info)
                if (source.is_prefix or info.key == source.key) and means(
                    relative, info.size, info.modified
                ):
                    manifest.add_object(
                        info if source.bucket == bucket else replace(info, bucket=source.bucket)
                    )
        except NotFound as error:
            if error.type != "NoSuchKey":
                raise
        count, size = manifest.count - before, manifest.bytes - size
        if count < self.min_count:
            return [f"{source} has {count:,} of {format_count(self.min_count, 'object')}"]
        return (
            [f"{source} has {size:,} of {format_count(self.min_bytes, 'byte')}"]
            if size < self.min_bytes
            else []
        )
