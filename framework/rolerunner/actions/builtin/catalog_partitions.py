"""Defines the action ``catalog.partitions``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import AfterValidator, model_validator

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.partition_catalog import (
    EXISTS,
    MAX_WRITTEN,
    PartitionCatalog,
    TableDescription,
    WriteErrors,
    split_batches,
)
from rolerunner.actions.partition_layout import HIVE, Partition, PartitionFinder, check_layout
from rolerunner.actions.permissions import list_permission
from rolerunner.actions.polling_fields import RegionFields
from rolerunner.actions.shared_fields import ObjectsField, OnEmpty, RequestFields
from rolerunner.actions.source_objects import check_one_source, collect_source
from rolerunner.common.wording import format_count
from rolerunner.errors import StepError
from rolerunner.events import StepProgress
from rolerunner.iam.actions_table import build_table_arns
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Permission
from rolerunner.spec.field_types import DYNAMIC, Account, Name, S3Location

_SHOWN = 1000
"""Maximum number of partitions in the outputs."""
_NAMED = 3
"""Number of wrong objects that an error names."""
_UNREADABLE = {"ErrorCode": EXISTS, "ErrorMessage": "it was added meanwhile, and cannot be read"}
Layout = Annotated[str, AfterValidator(check_layout), DYNAMIC]


class CatalogPartitions(FilterFields, RequestFields, RegionFields, Action):
    """Add the partitions of written objects to a table of the Glue Data Catalog.

    Each object's folders say which partition it belongs to: `key=value/` as Hive and Spark write
    them, or those of `layout`. The partition's format and columns are those of the table. All
    objects are looked at before anything is changed; those whose name begins with `_` or `.` are
    left out, as queries leave them out. With `if_exists: update` a partition that exists gets the
    format, the columns and the location that a new one would have. The step can be repeated.
    """

    kind: ClassVar[str] = "catalog.partitions"
    role_fields: ClassVar[tuple[str, ...]] = ("source_role", "catalog_role")
    counts_transfers: ClassVar[bool] = False
    looks_up_objects: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"source": "s3://lake/orders/day=2026-01-31/"}
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "added": "how many partitions were added",
        "updated": "how many were updated",
        "unchanged": "how many were in the catalog already, and left as they are",
        "count": "how many partitions the objects belong to",
        "partitions": f"the first {_SHOWN:,} of them: values, location, and what was done",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "added": 1,
        "updated": 0,
        "unchanged": 0,
        "count": 1,
        "partitions": [
            {"values": ["2026-01-31"], "location": "s3://bucket/day=2026-01-31/", "status": "added"}
        ],
    }

    database: Name = Field(description="The database of the table.", examples=["sales"])
    table: Name = Field(description="The table.", examples=["orders"])
    catalog_id: Optional[Account] = Field(
        None,
        description="The account of the catalog, if not that of the role.",
        examples=["444455556666"],
    )
    source: Optional[S3Location] = Field(
        None,
        description="An object, or a prefix that ends with '/'.",
        examples=["s3://lake/orders/day=2026-01-31/"],
    )
    objects: ObjectsField = Field(
        None,
        description=(
            "Objects that another step wrote or listed, a list of s3:// URIs, or a file that lists"
            " objects; instead of source."
        ),
        examples=["${{ steps.publish.objects }}"],
    )
    layout: Layout = Field(
        HIVE,
        description=(
            "hive for folders named key=value; or the folders below the table's location, with"
            " partition keys in braces."
        ),
        examples=["{year}/{month}/{day}/"],
    )
    if_exists: Annotated[Literal["keep", "update"], DYNAMIC] = Field(
        "keep",
        description="What to do with a partition that is in the catalog: keep or update.",
        examples=["update"],
    )
    max_partitions: Annotated[int, Field(ge=1), DYNAMIC] = Field(
        10_000,
        description="Maximum number of partitions; for more, nothing is changed.",
        examples=[100],
    )
    on_empty: OnEmpty = Field(
        "error", description="What to do when nothing matches: error, warn or ok.", examples=["ok"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "CatalogPartitions":
        check_one_source(self.source, self.objects, self.kind)
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Finds the partitions of the objects, and adds and updates those that need it."""
        catalog = self._open_catalog(context)
        table = catalog.read_table()
        partitions = self._find_partitions(table, context)
        if table.parameters.get("projection.enabled", "").lower() == "true":
            message = "the table has partition projection: Athena does not look at its partitions"
            context.note("warning", message, {"table": f"{self.database}.{self.table}"})
        work = _PartitionWork(self, catalog, table, context, len(partitions))
        work.write(partitions)
        if work.errors.count:
            told = format_count(work.errors.count, "partition")
            raise StepError(
                f"{told} of {len(partitions):,} failed: {'; '.join(work.errors.first)}",
                hint="the others are in the catalog; the step can be repeated",
                type="PartitionsFailed",
            )
        return work.outputs()

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Reading the table, and reading, adding and updating its partitions; listing `source`.

        They are for the table, its database and the catalog, in the account of `catalog_id`. A
        catalog of another account must also allow them in its own policy, and where Lake
        Formation governs it, the role needs its grants on the table and on the location.
        """
        arns = build_table_arns(self.database, self.table, self.catalog_id or "")
        actions = ["GetTable", "BatchGetPartition", "BatchCreatePartition"]
        actions += ["BatchUpdatePartition"] if self.if_exists == "update" else []
        needed = [Permission(f"glue:{action}", arn) for action in actions for arn in arns]
        listed = [list_permission(self.source)] if self.source is not None else []
        if self.source is not None and not self.source.is_prefix:
            listed.append(
                Permission("s3:GetObject", f"arn:aws:s3:::{self.source.bucket}/{self.source.key}")
            )
        return {"source_role": listed, "catalog_role": needed}

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns how many partitions the objects have, and how many are not in the catalog."""
        catalog = self._open_catalog(context)
        partitions = self._find_partitions(catalog.read_table(), context)
        missing = sum(1 for _, there in catalog.find(partitions) if there is None)
        return {"partitions": len(partitions), "missing": missing}

    def _open_catalog(self, context: StepContext) -> PartitionCatalog:
        names = {"DatabaseName": self.database, "TableName": self.table}
        if self.catalog_id is not None:
            names["CatalogId"] = self.catalog_id
        return PartitionCatalog(context, context.roles["catalog_role"], names, self.region or "")

    def _find_partitions(self, table: TableDescription, context: StepContext) -> list[Partition]:
        """Returns the distinct partitions of the objects. Raises StepError before any change."""
        try:
            finder = PartitionFinder(self.layout, table.keys, table.location)
        except ValueError as error:
            raise StepError(str(error), type="BadLayout") from None
        found: dict[tuple[str, ...], Partition] = {}
        wrong: list[str] = []
        for uri in self._iter_objects(context):
            try:
                _add_partition(finder.find(uri), found)
            except ValueError as error:
                wrong.append(f"{uri} {error}")
                if len(wrong) == _NAMED:
                    break
            if len(found) > self.max_partitions:
                raise StepError(
                    f"the objects have more than {format_count(self.max_partitions, 'partition')}"
                    "; nothing was changed",
                    hint="raise 'max_partitions' if so many are expected",
                    type="TooMany",
                )
        if wrong:
            raise StepError(
                f"{'; '.join(wrong)}; nothing was changed",
                hint="leave such objects out with 'exclude', or correct 'layout'",
                type="BadLayout",
            )
        return list(found.values())

    def _iter_objects(self, context: StepContext) -> Any:
        """Yields the URIs of the objects that queries read."""
        storage = context.storage("source_role", access=self.access())
        found = collect_source(
            self.source, self.objects, self.selection(), storage, context, looks_up=False
        )
        if found.refused:
            raise found.refused[0].error or StepError("an object cannot be read")
        if found.total == 0:
            handle_empty_source(self.on_empty, str(self.source or "the listed objects"), context)
        objects = found.objects
        for number, info in enumerate(objects, 1):
            name = info.key.rsplit("/", 1)[-1]
            if name and name[0] not in "_." and not info.deleted:
                yield objects.uri(info)
            if number % 1000 == 0:
                context.cancel.stop_if_set()


def _add_partition(partition: Partition, found: dict[tuple[str, ...], Partition]) -> None:
    """Adds a partition. Raises ValueError if the same values have another folder."""
    first = found.setdefault(partition.values, partition)
    if first.location != partition.location:
        raise ValueError(f"is of the same partition as objects in {first.location}")


@dataclass
class _PartitionWork:
    """Brings the partitions of one table into the catalog, and counts what was done."""

    action: CatalogPartitions
    catalog: PartitionCatalog
    table: TableDescription
    context: StepContext
    total: int
    counts: dict[str, int] = field(
        default_factory=lambda: {"added": 0, "updated": 0, "unchanged": 0}
    )
    shown: list[dict[str, Any]] = field(default_factory=list)
    errors: WriteErrors = field(default_factory=WriteErrors)

    def write(self, partitions: Sequence[Partition]) -> None:
        """Adds and updates the partitions, in batches."""
        missing, existing = [], []
        for partition, there in self.catalog.find(partitions):
            if there is None:
                missing.append(partition)
            else:
                existing.append((partition, there))
        for batch in split_batches(missing, MAX_WRITTEN):
            added, raced = self.catalog.add(self.table, batch, self.errors)
            self._count("added", added)
            existing += self._find_again(raced)
        self._write_existing(existing)

    def _find_again(self, raced: Sequence[Partition]) -> Iterator[tuple[Partition, Any]]:
        """Yields partitions that others added meanwhile; one that cannot be read is an error."""
        for partition, there in self.catalog.find(raced):
            if there is None:
                self.errors.add(partition.values, _UNREADABLE)
            else:
                yield partition, there

    def _write_existing(self, existing: Sequence[tuple[Partition, Any]]) -> None:
        if self.action.if_exists == "keep":
            self._count("unchanged", [each for each, _ in existing])
            return
        current = [each for each, there in existing if self.table.is_current(each, there)]
        self._count("unchanged", current)
        known = {each.values for each in current}
        outdated = [pair for pair in existing if pair[0].values not in known]
        for batch in split_batches(outdated, MAX_WRITTEN):
            self._count("updated", self.catalog.update(self.table, batch, self.errors))

    def _count(self, status: str, partitions: Sequence[Partition]) -> None:
        self.counts[status] += len(partitions)
        for each in partitions[: max(_SHOWN - len(self.shown), 0)]:
            shown = {"values": list(each.values), "location": str(each.location)}
            self.shown.append({**shown, "status": status})
        done = sum(self.counts.values())
        self.context.progress(StepProgress(self.context.step_id, done, 0, self.total))

    def outputs(self) -> Mapping[str, Any]:
        """Returns the outputs of the step."""
        return {**self.counts, "count": self.total, "partitions": self.shown}
