"""The partitions of a table in the Glue Data Catalog: reads, adds and updates them in batches."""

from __future__ import annotations

from dataclasses import field
from itertools import islice
from typing import TYPE_CHECKING, Any

from rolerunner.actions.requests import open_client, read_member, translate_errors
from rolerunner.actions.service_api import to_method_name
from rolerunner.errors import StepError
from rolerunner.iam.actions_table import build_table_arns
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Permission, S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolerunner.actions.base import StepContext
    from rolerunner.actions.partition_layout import Partition
    from rolerunner.model import Role

MAX_READ = 1000
"""Maximum partitions of BatchGetPartition (Glue's API reference)."""
MAX_WRITTEN = 100
"""Maximum partitions of BatchCreatePartition and BatchUpdatePartition (the same)."""
EXISTS = "AlreadyExistsException"
_KEPT_FIELDS = frozenset({"Values", "LastAccessTime", "Parameters", "LastAnalyzedTime"})
"""Fields of a partition that an update repeats, since it would remove them."""


@dataclass(frozen=True)
class TableDescription:
    """The settings that partitions take from their table."""

    keys: Sequence[tuple[str, str]]
    storage: Mapping[str, Any]
    parameters: Mapping[str, str]
    location: S3Uri

    def describe(self, partition: Partition) -> dict[str, Any]:
        """Returns the PartitionInput of a new partition."""
        return {
            "Values": list(partition.values),
            "StorageDescriptor": {**self.storage, "Location": str(partition.location)},
        }

    def is_current(self, partition: Partition, there: Mapping[str, Any]) -> bool:
        """Returns True if a partition of the catalog is as a new one would be."""
        wanted = _drop_empty(self.describe(partition)["StorageDescriptor"])
        return _drop_empty(there.get("StorageDescriptor", {})) == wanted


@dataclass
class WriteErrors:
    """Partitions that Glue did not take, with the reason of each."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, values: Sequence[str], detail: Mapping[str, Any]) -> None:
        """Adds the error of a partition."""
        self.count += 1
        if len(self.first) < 3:  # noqa: PLR2004 - lines of a message
            code, message = detail.get("ErrorCode", ""), detail.get("ErrorMessage", "")
            self.first.append(f"{'/'.join(values)}: {code} {message}".strip())


class PartitionCatalog:
    """Sends the requests for the partitions of one table."""

    def __init__(
        self, context: StepContext, role: Role, names: Mapping[str, str], region: str
    ) -> None:
        """``names`` are DatabaseName, TableName and, of another account, CatalogId."""
        self._context, self._role, self._names = context, role, names
        self._client = open_client(context, role, "glue", region)

    def read_table(self) -> TableDescription:
        """Returns the table's keys and storage. Raises StepError if it takes no partitions."""
        names = {
            "Name" if name == "TableName" else name: value for name, value in self._names.items()
        }
        table = read_member(self._call("GetTable", names), "glue GetTable", "Table")
        place = f"{self._names['DatabaseName']}.{self._names['TableName']}"
        parameters = table.get("Parameters") or {}
        if str(parameters.get("table_type", "")).upper() == "ICEBERG":
            raise StepError(
                f"{place} is an Iceberg table, which keeps its own partitions",
                hint="leave the step out: writing to the table is enough",
                type="NoPartitions",
            )
        keys = (
            [(each["Name"], str(each.get("Type", "")).lower()) for each in table["PartitionKeys"]]
            if table.get("PartitionKeys")
            else []
        )
        if not keys:
            raise StepError(f"{place} has no partition keys", type="NoPartitions")
        storage = table.get("StorageDescriptor") or {}
        return TableDescription(keys, storage, parameters, _parse_location(storage, place))

    def find(self, partitions: Iterable[Partition]) -> Iterator[tuple[Partition, Any]]:
        """Yields each partition with its entry in the catalog; None if there is none."""
        for batch in split_batches(partitions, MAX_READ):
            wanted: list[tuple[str, ...]] = [each.values for each in batch]
            there: dict[tuple[str, ...], Any] = {}
            while wanted:
                told = self._call(
                    "BatchGetPartition",
                    {**self._names, "PartitionsToGet": [{"Values": list(each)} for each in wanted]},
                )
                found = {tuple(each["Values"]): each for each in told.get("Partitions") or ()}
                is_progress = not found.keys() <= there.keys()
                there.update(found)
                left = {tuple(each["Values"]) for each in told.get("UnprocessedKeys") or ()}
                # what is not there may be told as unprocessed: it is asked for while others come
                wanted = [each for each in left if each not in there] if is_progress else []
            yield from ((each, there.get(each.values)) for each in batch)

    def add(
        self, table: TableDescription, partitions: Sequence[Partition], errors: WriteErrors
    ) -> tuple[list[Partition], list[Partition]]:
        """Adds up to 100 partitions; returns those added, and those that others have added."""
        wanted = [table.describe(each) for each in partitions]
        told = self._call("BatchCreatePartition", {**self._names, "PartitionInputList": wanted})
        failed = {
            tuple(each["PartitionValues"]): each.get("ErrorDetail", {})
            for each in told.get("Errors") or ()
        }
        existing = [
            each for each in partitions if failed.get(each.values, {}).get("ErrorCode") == EXISTS
        ]
        known = {each.values for each in existing}
        for values, detail in failed.items():
            if values not in known:
                errors.add(values, detail)
        return [each for each in partitions if each.values not in failed], existing

    def update(
        self,
        table: TableDescription,
        found: Sequence[tuple[Partition, Mapping[str, Any]]],
        errors: WriteErrors,
    ) -> list[Partition]:
        """Updates up to 100 partitions from their entries; returns those updated."""
        entries = [
            {
                "PartitionValueList": list(each.values),
                "PartitionInput": {
                    **{name: value for name, value in there.items() if name in _KEPT_FIELDS},
                    **table.describe(each),
                },
            }
            for each, there in found
        ]
        told = self._call("BatchUpdatePartition", {**self._names, "Entries": entries})
        failed = {
            tuple(each["PartitionValueList"]): each.get("ErrorDetail", {})
            for each in told.get("Errors") or ()
        }
        for values, detail in failed.items():
            errors.add(values, detail)
        return [each for each, _ in found if each.values not in failed]

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self._context.cancel.stop_if_set()
        names = self._names
        arns = build_table_arns(
            names["DatabaseName"], names["TableName"], names.get("CatalogId", "")
        )
        needed = [Permission(f"glue:{operation}", arn) for arn in reversed(arns)]
        with translate_errors(self._context, self._role, f"glue {operation}", lambda: needed):
            answer: Mapping[str, Any] = getattr(self._client, to_method_name(operation))(
                **parameters
            )
        return answer


def split_batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields the items in lists of at most ``size``."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])


def _parse_location(storage: Mapping[str, Any], place: str) -> S3Uri:
    location = str(storage.get("Location") or "")
    try:
        uri = S3Uri.parse(location.replace("s3a://", "s3://", 1).replace("s3n://", "s3://", 1))
    except ValueError:
        raise StepError(
            f"{place} has no location in S3: '{location}'", type="NoPartitions"
        ) from None
    return uri if uri.is_prefix else S3Uri(uri.bucket, f"{uri.key}/")


def _drop_empty(storage: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a storage descriptor without what means the same as nothing."""
    location = str(storage.get("Location", "")).rstrip("/")
    told = {**storage, "Location": location}
    return {name: value for name, value in told.items() if value not in (None, "", [], {}, False)}
