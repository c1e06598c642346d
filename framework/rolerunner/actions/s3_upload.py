"""s3.upload"""

import glob
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional

from rolerunner.actions.base import Action, Field, OnEmpty, StepContext, nothing_there, transfer
from rolerunner.actions.permissions import on_objects
from rolerunner.actions.put_options import Acl, Encryption, put_options, put_permissions
from rolerunner.model import Permission, S3Uri
from rolerunner.spec.fields import LocalPath, S3Location, Text
from rolerunner.storage.base import Put
from rolerunner.storage.local import files_below, folder_of
from rolerunner.storage.select import Selection


class S3Upload(Action):
    """Store a file, a folder or the files of a glob as objects."""

    kind: ClassVar[str] = "s3.upload"
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the prefix or object written",
        "count": "how many files were stored",
        "bytes": "how many bytes were stored",
        "skipped": "how many were there already",
    }
    samples: ClassVar[Mapping[str, Any]] = {"objects": "s3://bucket/prefix/", "count": 1, "bytes": 1, "skipped": 1}

    source: LocalPath = Field(description="A file, a folder, or a glob such as /tmp/out/*.csv.", examples=["/tmp/out/", "/tmp/out/*.csv"])
    target: S3Location = Field(
        description="The prefix to write under (ends with '/'), or for one file the object.", examples=["s3://publish/orders/"]
    )
    include: list[Text] = Field(
        default_factory=list, description="Globs over paths relative to the source; '**' crosses folders.", examples=[["**/*.csv"]]
    )
    exclude: list[Text] = Field(default_factory=list, description="Globs of paths to leave out.", examples=[["**/_*"]])
    encryption: Optional[Encryption] = Field(
        None, description="Server-side encryption; the bucket's default otherwise.", examples=[{"type": "aws:kms", "key": "alias/orders"}]
    )
    acl: Acl = Field(None, description="A canned ACL.", examples=["bucket-owner-full-control"])
    storage_class: Optional[Text] = Field(None, description="S3's storage class, such as STANDARD_IA.", examples=["STANDARD_IA"])
    content_type: Optional[Text] = Field(None, description="Guessed from the file's name otherwise.", examples=["text/csv"])
    metadata: dict[str, Text] = Field(default_factory=dict, description="User metadata of each object.", examples=[{"run": "${{ run.id }}"}])
    tags: dict[str, Text] = Field(default_factory=dict, description="Tags of each object.", examples=[{"team": "orders"}])
    on_empty: OnEmpty = Field("error", description="What no file is: error, warn or ok.", examples=["ok"])

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Store, many at once; a failed multipart upload is aborted."""
        options = put_options(self.encryption, self.acl, self.storage_class, self.metadata, self.tags)
        puts = (
            Put(path, self._target(relative), {**options, "ContentType": self.content_type or _guessed(path)}) for relative, path in self._files()
        )
        done = transfer(context.storage().put(puts, context.cancel), context)
        if done["count"] == 0:
            nothing_there(self.on_empty, self.source, context)
        return {"objects": str(self.target), "count": done["count"], "bytes": done["bytes"], "skipped": 0}

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """PutObject, with what encryption, ACL and tags ask for; aborting parts of a failed upload."""
        wanted = put_permissions(self.target, self.encryption, self.acl, self.tags)
        return {"role": [*wanted, on_objects("s3:AbortMultipartUpload", self.target)]}

    def _files(self) -> Iterator[tuple[str, Path]]:
        means = Selection.of(self.include, self.exclude)
        for relative, path in self._sources():
            if means(relative):
                yield relative, path

    def _sources(self) -> Iterator[tuple[str, Path]]:
        root = folder_of(self.source)
        if root.is_dir():
            yield from files_below(root)
        elif root.exists() or not glob.has_magic(self.source):
            yield root.name, root
        else:
            for name in sorted(glob.glob(str(root), recursive=True)):  # noqa: PTH207 - absolute patterns
                if Path(name).is_file():
                    yield Path(name).name, Path(name)

    def _target(self, relative: str) -> S3Uri:
        one_file = not self.target.is_prefix and folder_of(self.source).is_file()
        if one_file:
            return self.target
        return self.target.join(relative if self.target.is_prefix else f"/{relative}")


def _guessed(path: Path) -> str:
    kind, encoding = mimetypes.guess_type(path.name)
    if encoding == "gzip":
        return "application/gzip"
    return kind or "application/octet-stream"
