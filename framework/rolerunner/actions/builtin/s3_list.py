"""Defines the action ``s3.list``."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.blocks import add_listed, batch_listed, batch_objects, list_blocks
from rolerunner.actions.filter_fields import FilterFields, Globs, read_globs
from rolerunner.actions.object_plans import ObjectPlan, Report
from rolerunner.actions.past_fields import AsOfFields
from rolerunner.actions.permissions import list_permission
from rolerunner.actions.placement import list_until_slow
from rolerunner.actions.shared_fields import DistributionFields, OnEmpty, RequestFields
from rolerunner.common.file_paths import expand_path
from rolerunner.events import StepProgress
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.inventory import FORMS, write_inventory
from rolerunner.selection.manifest import EMPTY_LIST, Origin, placeholder_list
from rolerunner.spec.field_types import DYNAMIC, Flag, LocalPath, S3Location
from rolerunner.storage.object_lines import ListedBlock
from rolerunner.storage.protocol import ObjectInfo, Storage
from rolerunner.storage.sorting import sort_objects

_PROGRESS_EVERY = 1_000
_BY: Mapping[str, Callable[[ObjectInfo], Any]] = {
    "key": lambda info: info.key.encode(),
    "size": lambda info: info.size,
    "modified": lambda info: info.modified,
}


class S3List(FilterFields, AsOfFields, RequestFields, DistributionFields, Action):
    """List the objects under a prefix.

    The list is kept in a file and streamed, whatever its length. With ``recursive: false`` only the
    objects directly under the prefix are listed, and ``folders`` holds the prefixes below it. With
    ``versions: true`` every version and delete marker is listed.
    """

    kind: ClassVar[str] = "s3.list"
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"include": ["**/*.csv.gz"]}
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects, for s3.download and other actions",
        "count": "how many objects",
        "bytes": "their total size",
        "latest": "the s3:// URI of the object modified last; null if there is none",
        "folders": "with recursive: false, the s3:// URIs of the prefixes below it; 10,000 at most",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST, "count": 1, "bytes": 1, "latest": "s3://bucket/key", "folders": ["s3://bucket/prefix/"],
    }  # fmt: skip
    max_folders: ClassVar[int] = 10_000

    source: S3Location = Field(
        description="The prefix to list; it need not end with '/'.",
        examples=["s3://landing/orders/"],
    )
    recursive: Flag = Field(
        True,
        description="false: list only up to the next '/' after the prefix.",
        examples=[False],
    )
    versions: Flag = Field(
        False, description="List every version and delete marker.", examples=[True]
    )
    sort: Annotated[Literal["key", "size", "modified"], DYNAMIC] = Field(
        "key", description="The order of the objects.", examples=["modified"]
    )
    descending: Flag = Field(False, description="Sort in descending order.", examples=[True])
    limit: Optional[Annotated[int, Field(ge=1), DYNAMIC]] = Field(
        None, description="Maximum number of objects to keep, after sorting.", examples=[10]
    )
    inventory: Optional[LocalPath] = Field(
        None,
        description=(
            "A file to write the list to as well: .jsonl, .csv, or .parquet (which needs pyarrow)."
        ),
        examples=["/tmp/orders.csv"],
    )
    on_empty: OnEmpty = Field(
        "error", description="What to do when nothing matches: error, warn or ok.", examples=["ok"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3List":
        if self.versions is True and self.recursive is False:
            raise ValueError("'versions' lists recursively")
        if self.as_of is not None and (self.versions is True or self.recursive is False):
            other = "versions" if self.versions is True else "recursive: false"
            raise ValueError(f"'as_of' cannot be combined with '{other}'")
        if isinstance(self.inventory, str) and not self.inventory.endswith(FORMS):
            raise ValueError(f"'inventory' must end with one of {', '.join(FORMS)}")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists and filters the objects, and keeps the list on disk."""
        folders: list[str] = []
        latest: Optional[ObjectInfo] = None
        storage = context.storage(access=self.access(), distribute=self.distribute)
        blocks = self._list_blocks(storage, context) or batch_objects(
            self._sort_objects(self._select_folders_or_objects(storage, folders, context))
        )
        with context.manifest() as manifest:
            for each in blocks:
                info = add_listed(each, manifest)
                if info is not None and (latest is None or info.modified > latest.modified):
                    latest = info
        if manifest.count == 0 and not folders:
            handle_empty_source(self.on_empty, str(self.source), context)
        objects = manifest.objects(self.source)
        if self.inventory:
            write_inventory(objects, expand_path(self.inventory))
        newest = str(objects.uri(latest)) if latest else None
        return {
            "objects": objects,
            "count": objects.count,
            "bytes": objects.bytes,
            "latest": newest,
            "folders": folders,
        }

    def tracked_paths(self, context: StepContext, outputs: Mapping[str, Any]) -> Iterator[str]:
        """Yields the inventory."""
        del context, outputs
        if self.inventory:
            yield str(expand_path(self.inventory))

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """ListBucket under the prefix; ListBucketVersions for versions."""
        return {
            "role": [
                list_permission(
                    self.source,
                    "s3:ListBucketVersions" if self.versions or self.as_of else "s3:ListBucket",
                )
            ]
        }

    @classmethod
    def sample(cls, output: str, fields: Mapping[str, Any]) -> Any:
        """Returns for the list one with the origin of its objects."""
        if output != "objects":
            return super().sample(output, fields)
        recursive = fields.get("recursive", True)
        not_below: Globs = (
            [] if recursive is True else ["*/**"] if recursive is False else [recursive]
        )
        return replace(
            EMPTY_LIST, origin=Origin(fields.get("source"), (read_globs(fields), ([], not_below)))
        )

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the list of objects under the prefix."""
        return {"objects": placeholder_list(self.source, versions=self._has_versions())}

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes."""
        count = size = 0
        for info in self._select_folders_or_objects(
            context.storage(access=self.access()), [], context
        ):
            count, size = count + 1, size + info.size
        return {"count": count, "bytes": size}

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports the objects of the list."""
        storage = context.storage(access=self.access())
        listed = placeholder_list(self.source)
        folders: list[str] = []
        count = 0
        for info in self._sort_objects(self._select_folders_or_objects(storage, folders, context)):
            count += 1
            uri = str(listed.uri(info))
            report(ObjectPlan("list", uri, "the step selects it", size=info.size))
        if not count and not folders:
            handle_empty_source(self.on_empty, str(self.source), context)

    def _list_blocks(
        self, storage: Storage, context: StepContext
    ) -> Optional[Iterator[Union[ListedBlock, Sequence[ObjectInfo]]]]:
        """Returns the listing in blocks, if a cluster lists and this machine selects nothing."""
        if not (
            self.recursive is True
            and self.as_of is None
            and self.limit is None
            and (self.sort, self.descending) == ("key", False)
            and self.selection().selects_everything
        ):
            return None
        if self.distribute == "auto" and context.open_cluster is not None:
            listed = list_until_slow(
                storage,
                lambda: context.storage(access=self.access(), distribute="spark"),
                self.source,
                context,
                versions=self.versions,
            )
            return self._report_blocks(listed, context)
        blocks = list_blocks(storage, self.source, context, versions=self.versions)
        return None if blocks is None else self._report_blocks(blocks, context)

    def _report_blocks(
        self, blocks: Iterator[Union[ObjectInfo, ListedBlock]], context: StepContext
    ) -> Iterator[Union[ListedBlock, Sequence[ObjectInfo]]]:
        count = reported = 0
        for each in batch_listed(blocks):
            count += each.count if isinstance(each, ListedBlock) else len(each)
            yield each
            if count - reported >= _PROGRESS_EVERY:
                reported = count
                context.cancel.stop_if_set()
                context.progress(StepProgress(context.step_id, count, 0))

    def _select_folders_or_objects(
        self, storage: Storage, folders: list[str], context: StepContext
    ) -> Iterator[ObjectInfo]:
        means = self.selection()
        all_are_meant = means.selects_everything
        listed = placeholder_list(self.source)
        for number, each in enumerate(self._list_entries(storage, context), 1):
            if isinstance(each, str):
                folders += (
                    [str(S3Uri(self.source.bucket, each))]
                    if len(folders) < self.max_folders
                    else []
                )
            elif all_are_meant or means(listed.relative(each), each.size, each.modified):
                yield each
            if number % _PROGRESS_EVERY == 0:
                context.cancel.stop_if_set()
                context.progress(StepProgress(context.step_id, number, 0))

    def _list_entries(
        self, storage: Storage, context: StepContext
    ) -> Iterator[Union[ObjectInfo, str]]:
        if not self.recursive:
            return storage.list_folder(self.source)
        return self.select_past(
            storage.list(self.source, versions=self._has_versions(), cancel=context.cancel),
            self.source,
        )

    def _has_versions(self) -> bool:
        return self.versions or self.as_of is not None

    def _sort_objects(self, objects: Iterable[ObjectInfo]) -> Iterable[ObjectInfo]:
        by = _BY[self.sort]
        if self.sort == "key" and not self.descending:
            return objects if self.limit is None else islice(objects, self.limit)
        if self.limit is not None:
            return (heapq.nlargest if self.descending else heapq.nsmallest)(
                self.limit, objects, key=by
            )
        return sort_objects(objects, by, descending=self.descending)
