"""An action that sends one request for each object: ``action: hello.tag``."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional

from rolerunner.plugin import (
    EMPTY_LIST,
    Action,
    Field,
    FilterFields,
    ObjectInfo,
    ObjectsField,
    OnEmpty,
    Permission,
    S3Location,
    S3Uri,
    StepContext,
    Text,
    TransferFields,
    collect_source,
    handle_empty_source,
    list_permission,
    record_outcomes,
    request_each,
    source_permissions,
)


class HelloTag(FilterFields, TransferFields, Action):
    """Replace the tags of the objects of a prefix, or of those that another step listed."""

    kind: ClassVar[str] = "hello.tag"
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"source": "s3://landing/orders/"}
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects that were tagged",
        "count": "how many objects were tagged",
        "bytes": "their total size",
    }
    samples: ClassVar[Mapping[str, Any]] = {"objects": EMPTY_LIST, "count": 1, "bytes": 1}

    source: Optional[S3Location] = Field(
        None,
        description="An object, or a prefix that ends with '/'.",
        examples=["s3://landing/orders/"],
    )
    objects: ObjectsField = Field(
        None,
        description="Objects that another step listed; instead of source.",
        examples=["${{ steps.find.objects }}"],
    )
    tags: dict[str, Text] = Field(
        description="The tags that each object gets.", examples=[{"state": "read"}]
    )
    on_empty: OnEmpty = Field(
        "error",
        description="What to do when nothing matches: error, warn or ok.",
        examples=["ok"],
    )

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Sends one PutObjectTagging for each object."""
        pacer = self.flow()
        storage = context.storage(access=self.access(), flow=pacer)
        source = collect_source(self.source, self.objects, self.selection(), storage, context)
        if source.total == 0:
            handle_empty_source(self.on_empty, str(self.source or "the listed objects"), context)
            return {"objects": source.objects, "count": 0, "bytes": 0}
        outcomes = request_each(source, self._tag, context, pacer)
        prefix = source.objects.prefix
        done = record_outcomes(outcomes, context, prefix, self, pacer, source)
        return done.outputs(objects=done.objects)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """PutObjectTagging on the objects; ListBucket on a prefix."""
        listed = [list_permission(self.source)] if self.source is not None else []
        tagged = source_permissions("s3:PutObjectTagging", self.source, self.objects)
        return {"role": [*listed, *tagged]}

    def _tag(self, client: Any, uri: S3Uri, info: ObjectInfo) -> None:
        del info
        tags = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        client.put_object_tagging(Bucket=uri.bucket, Key=uri.key, Tagging={"TagSet": tags})
