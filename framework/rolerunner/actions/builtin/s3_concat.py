"""Defines the action ``s3.concat``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Optional

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.outcomes import ByteProgress
from rolerunner.actions.permissions import list_permission, source_permissions
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.shared_fields import ObjectsField, OnEmpty, RequestFields
from rolerunner.actions.source_objects import SourceObjects, check_one_source, collect_source
from rolerunner.actions.targets import claim_target
from rolerunner.errors import StepError
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.field_types import Account, Flag, S3Location, S3Object, Text
from rolerunner.storage.concatenation import Concatenation, Segment
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Storage

MAX_SEPARATOR = 1024


class S3Concat(FilterFields, PutFields, RequestFields, Action):
    """Make one object of many, in the order of a list or of the keys of a prefix.

    With one role S3 copies what it can itself: ranges of objects of 5 MiB or more. What is smaller
    passes through this machine in bounded memory and goes with what follows it. With two roles
    (``source_role`` and ``target_role``) everything does. An object that changes meanwhile fails
    the step, and nothing is stored. Files of formats with a header, such as Parquet, do not become
    one file by being put together; text, CSV without headers, JSON lines and gzip do. The target
    has the metadata and tags that the step sets, not those of the sources.
    """

    kind: ClassVar[str] = "s3.concat"
    object_verb: ClassVar[str] = "concatenate"
    stores_objects: ClassVar[bool] = True
    role_fields: ClassVar[tuple[str, ...]] = ("source_role", "target_role")
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/",
        "include": ["*.jsonl.gz"],
        "target": "s3://publish/orders.jsonl.gz",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "object": "the s3:// URI of the object",
        "count": "how many objects it is made of",
        "bytes": "its size",
        "etag": "its ETag",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "object": "s3://bucket/key",
        "count": 1,
        "bytes": 1,
        "etag": "d41d8cd98f00b204e9800998ecf8427e-2",
    }

    source: Optional[S3Location] = Field(
        None,
        description="A prefix that ends with '/'; its objects are put together in key order.",
        examples=["s3://landing/orders/"],
    )
    objects: ObjectsField = Field(
        None,
        description=(
            "Objects that another step listed, a list of s3:// URIs, or a file that lists objects,"
            " in their order; instead of source."
        ),
        examples=["${{ steps.find.objects }}"],
    )
    target: S3Object = Field(
        description="The object to store; it may not be one of the sources.",
        examples=["s3://publish/orders.jsonl.gz"],
    )
    separator: Text = Field(
        "",
        description="Text between two objects, such as a line break; 1 KiB of UTF-8 at most.",
        examples=["\n"],
    )
    if_none_match: Flag = Field(
        False, description="Store only if no such object exists.", examples=[True]
    )
    expected_source_bucket_owner: Optional[Account] = Field(
        None,
        description="The account that must own the source's bucket.",
        examples=["111122223333"],
    )
    on_empty: OnEmpty = Field(
        "error",
        description="What to do when nothing matches: error, or warn and ok, which store nothing.",
        examples=["ok"],
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Concat":
        check_one_source(self.source, self.objects, self.kind)
        named = (
            [each for each in self.objects if isinstance(each, S3Uri)]
            if isinstance(self.objects, list)
            else []
        )
        if len(named) != len(set(named)):
            repeated = next(uri for uri in named if named.count(uri) > 1)
            raise ValueError(f"'objects' has {repeated} twice")
        if self.target == self.source or self.target in named:
            raise ValueError(f"'target' {self.target} is one of the sources")
        if isinstance(self.separator, str) and len(self.separator.encode()) > MAX_SEPARATOR:
            raise ValueError(f"'separator' has more than {MAX_SEPARATOR:,} bytes")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists the sources in full, then stores the target."""
        pacer = Pacer()
        source, target = self._open_storages(context, pacer)
        found = self._collect_source(source, context)
        if found.refused and found.refused[0].error is not None:
            raise found.refused[0].error
        if found.total == 0:
            handle_empty_source(self.on_empty, str(self.source or "the listed objects"), context)
            return {"object": "", "count": 0, "bytes": 0, "etag": ""}
        count = self._count_sources(found.objects)
        separators = len(self.separator.encode()) * max(count - 1, 0)
        item = Concatenation(
            self.target,
            partial(self._iterate_segments, found.objects),
            found.objects.bytes + separators,
            {**self.put_options(), **({"IfNoneMatch": "*"} if self.if_none_match else {})},
            within_s3=context.roles["source_role"] == context.roles["target_role"],
            repeated=context.is_retry or context.is_resumed,
        )
        claim_target(self.target, "the object", context)
        pacer.on_bytes = ByteProgress(context, 1, item.size).add_bytes
        info = target.concatenate(item, source, context.cancel)
        return {
            "object": str(self.target),
            "count": count,
            "bytes": info.size,
            "etag": info.etag,
        }

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing and GetObject on the sources; PutObject with its options on the target."""
        listed = [list_permission(self.source)] if self.source is not None else []
        return {
            "source_role": [
                *listed,
                *source_permissions("s3:GetObject", self.source, self.objects),
            ],
            "target_role": self.put_permissions(self.target),
        }

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes of the sources."""
        return self._collect_source(self._open_storages(context, Pacer())[0], context).summary()

    def _open_storages(self, context: StepContext, pacer: Pacer) -> tuple[Storage, Storage]:
        owner = self.expected_source_bucket_owner
        of_target = replace(
            self.access(customer_key=self.stored_key), source_bucket_owner=owner or ""
        )
        return (
            context.storage("source_role", self.access(owner=owner), Pacer()),
            context.storage("target_role", of_target, pacer),
        )

    def _collect_source(self, storage: Storage, context: StepContext) -> SourceObjects:
        return collect_source(self.source, self.objects, self.selection(), storage, context)

    def _count_sources(self, objects: ObjectList) -> int:
        """Raises StepError if the target is a source: a second run would read what this stored.

        Also raises it if the server does not list a prefix in key order.
        """
        count, last = 0, ""
        for info in objects:
            if self.source is not None and count and info.key.encode() <= last.encode():
                raise StepError(
                    f"{self.source} is not listed in the order of keys: '{info.key}' follows"
                    f" '{last}'",
                    hint="nothing was stored; this server lists in an order of its own: list the"
                    " objects to put together in 'objects'",
                    type="OutOfOrder",
                )
            last = info.key
            count += not info.deleted
            if objects.uri(info) == self.target and not info.deleted:
                raise StepError(
                    f"{self.target} is itself one of the objects to put together",
                    hint="nothing was stored; name a target apart from the sources, or leave it"
                    " out by 'exclude'",
                    type="TargetInSource",
                )
        return count

    def _iterate_segments(self, objects: ObjectList) -> Iterator[Segment]:
        between = self.separator.encode()
        is_first = True
        for info in objects:
            if info.deleted:
                continue
            if between and not is_first:
                yield Segment(0, len(between), data=between)
            is_first = False
            yield Segment(0, info.size, objects.uri(info), info)
