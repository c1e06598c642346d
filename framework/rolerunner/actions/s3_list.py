"""s3.list"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional

from rolerunner.actions.base import Action, Field, OnEmpty, StepContext, nothing_there
from rolerunner.actions.permissions import listing
from rolerunner.events import StepProgress
from rolerunner.model import Permission
from rolerunner.spec.fields import S3Location, Text
from rolerunner.storage.base import ObjectInfo
from rolerunner.storage.manifest import EMPTY_LIST
from rolerunner.storage.select import Selection

_PROGRESS_EVERY = 1_000


class S3List(Action):
    """List the objects under a prefix."""

    kind: ClassVar[str] = "s3.list"
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects, for s3.download and others",
        "count": "how many",
        "bytes": "their size together",
        "latest": "the s3:// URI of the one modified last; null if there is none",
    }
    samples: ClassVar[Mapping[str, Any]] = {"objects": EMPTY_LIST, "count": 1, "bytes": 1, "latest": "s3://bucket/key"}

    source: S3Location = Field(
        description="The prefix to list; without a '/' at its end it is the beginning of keys.", examples=["s3://landing/orders/"]
    )
    include: list[Text] = Field(
        default_factory=list, description="Globs over keys relative to the source's folder; '**' crosses folders.", examples=[["**/*.csv.gz"]]
    )
    exclude: list[Text] = Field(default_factory=list, description="Globs of keys to leave out.", examples=[["**/_*"]])
    on_empty: OnEmpty = Field("error", description="What nothing found is: error, warn or ok.", examples=["ok"])

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """List, filter, and keep the list on disk."""
        means = Selection.of(self.include, self.exclude)
        start = len(folder_key(self.source.key))
        latest: Optional[ObjectInfo] = None
        with context.manifest() as manifest:
            for seen, info in enumerate(context.storage().list(self.source), 1):
                if means(info.key[start:]):
                    manifest.add_object(info)
                    latest = info if latest is None or info.modified > latest.modified else latest
                if seen % _PROGRESS_EVERY == 0:
                    context.progress(StepProgress(context.step_id, seen, manifest.bytes))
        if manifest.count == 0:
            nothing_there(self.on_empty, str(self.source), context)
        objects = manifest.objects(self.source)
        found = f"s3://{self.source.bucket}/{latest.key}" if latest else None
        return {"objects": objects, "count": objects.count, "bytes": objects.bytes, "latest": found}

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """ListBucket under the prefix."""
        return {"role": [listing(self.source)]}


def folder_key(key: str) -> str:
    """The folder part of a key or prefix, with its '/'."""
    return key[: key.rfind("/") + 1]
