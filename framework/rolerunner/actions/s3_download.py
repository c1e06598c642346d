"""s3.download"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, ObjectsField, OnEmpty, StepContext, nothing_there, optional_uri, transfer
from rolerunner.actions.permissions import listing, on_objects
from rolerunner.errors import UnsafeKey
from rolerunner.model import Permission, S3Uri
from rolerunner.spec.fields import DYNAMIC, LocalPath, S3Location, Text
from rolerunner.storage.base import Get, ObjectInfo, Outcome
from rolerunner.storage.local import folder_of, path_under
from rolerunner.storage.manifest import ObjectList
from rolerunner.storage.select import Selection


class S3Download(Action):
    """Fetch an object, a prefix, or the objects that another step listed, to the local disk."""

    kind: ClassVar[str] = "s3.download"
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "files": "the files that are there now",
        "count": "how many objects were fetched",
        "bytes": "how many bytes were fetched",
        "skipped": "how many were there already",
    }
    samples: ClassVar[Mapping[str, Any]] = {"files": "/folder", "count": 1, "bytes": 1, "skipped": 1}

    source: Optional[S3Location] = Field(None, description="One object, or a prefix that ends with '/'.", examples=["s3://landing/orders/"])
    objects: ObjectsField = Field(
        None, description="Objects that another step listed, or a list of s3:// URIs; instead of source.", examples=["${{ steps.find.objects }}"]
    )
    target: LocalPath = Field(description="The folder to write below (ends with '/'), or for one object the file.", examples=["/tmp/orders/"])
    include: list[Text] = Field(
        default_factory=list, description="Globs over keys relative to the source; '**' crosses folders.", examples=[["**/*.csv.gz"]]
    )
    exclude: list[Text] = Field(default_factory=list, description="Globs of keys to leave out.", examples=[["**/_*"]])
    if_exists: Annotated[Literal["overwrite", "skip"], DYNAMIC] = Field(
        "overwrite", description="What a file that is there means.", examples=["skip"]
    )
    on_empty: OnEmpty = Field("error", description="What nothing to fetch is: error, warn or ok.", examples=["ok"])

    @model_validator(mode="after")
    def _one_source(self) -> "S3Download":
        if (self.source is None) == (self.objects is None):
            raise ValueError("'s3.download' takes either 'source' or 'objects'")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Fetch, many at once; each file appears whole under its name or not at all."""
        gets = _Gets(self, context)
        outcomes = context.storage().get(gets, context.cancel)
        total = self.objects if isinstance(self.objects, ObjectList) else None
        done = transfer(gets.with_refused(outcomes), context, total.count if total else 0, total.bytes if total else 0)
        if done["count"] == 0 and gets.skipped == 0:
            nothing_there(self.on_empty, optional_uri(self.source), context)
        return {"files": str(folder_of(self.target)), "count": done["count"], "bytes": done["bytes"], "skipped": gets.skipped}

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """GetObject; ListBucket for a prefix, and so that a missing key is told from a refusal."""
        if self.source is None:
            return {"role": []}
        return {"role": [listing(self.source), on_objects("s3:GetObject", self.source)]}


class _Gets:
    """What to fetch, drawn as the engine asks for it. Two objects that land on one file are refused."""

    def __init__(self, action: S3Download, context: StepContext) -> None:
        self.action = action
        self.context = context
        self.skipped = 0
        self.refused: list[Outcome] = []

    def __iter__(self) -> Iterator[Get]:
        means = Selection.of(self.action.include, self.action.exclude)
        for uri, relative, info in self._sources():
            if uri.key.endswith("/") or not means(relative):  # a folder marker has no file
                continue
            try:
                target = self._target(relative)
            except UnsafeKey as error:
                self.refused.append(Outcome(uri, status="failed", error=error))
                continue
            if self.action.if_exists == "skip" and target.exists():
                self.skipped += 1
                continue
            yield Get(uri, target, info)

    def with_refused(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """The engine's outcomes, then those of objects that never reached it."""
        yield from outcomes
        yield from self.refused

    def _sources(self) -> Iterator[tuple[S3Uri, str, Optional[ObjectInfo]]]:
        source, objects = self.action.source, self.action.objects
        if source is not None and not source.is_prefix:
            yield source, source.name, None
        elif source is not None:
            for info in self.context.storage().list(source):
                yield S3Uri(source.bucket, info.key), info.key[len(source.key) :], info
        elif isinstance(objects, ObjectList):
            start = objects.prefix.key.rfind("/") + 1
            for info in objects:
                yield S3Uri(objects.prefix.bucket, info.key), info.key[start:], info
        else:
            for uri in objects or ():
                yield uri, uri.name, None

    def _target(self, relative: str) -> Path:
        target = folder_of(self.action.target)
        one_file = self.action.source is not None and not self.action.source.is_prefix
        if one_file and not self.action.target.endswith("/") and not target.is_dir():
            return target
        return path_under(target, relative)
