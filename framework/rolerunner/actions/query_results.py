"""The result of a query of Athena: its first rows, and the objects that it wrote."""

from __future__ import annotations

from dataclasses import field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from rolerunner.actions.requests import read_member
from rolerunner.errors import NotFound, StepError, UnexpectedResponse
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.responses import PaginationGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rolerunner.actions.base import StepContext
    from rolerunner.selection.manifest import ObjectList

_REQUEST = "athena GetQueryResults"
MAX_TEXT = 1 << 20
"""Maximum characters of all rows, which pass through memory, the result file and the state."""
_MAX_LIST = 64 << 20
"""Maximum bytes of the list of files that a query wrote."""
_WHOLE = frozenset({"tinyint", "smallint", "integer", "int", "bigint"})
_FLOATING = frozenset({"float", "real", "double"})


@dataclass(frozen=True)
class QueryRows:
    """The first rows of a result."""

    rows: Sequence[Mapping[str, Any]] = ()
    columns: Sequence[Mapping[str, str]] = ()
    written: int = 0
    """The number of rows that an INSERT INTO wrote."""
    is_truncated: bool = False


@dataclass
class _RowReader:
    """Collects rows up to a number, and up to an amount of text."""

    limit: int
    has_header: bool
    columns: list[dict[str, str]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    written: int = 0
    text: int = 0

    def add_page(self, page: Mapping[str, Any], *, is_first: bool) -> bool:
        """Adds the rows of a page; returns False if there is no room for one of them."""
        told = page["ResultSet"]
        self.written = int(page.get("UpdateCount") or 0)
        if is_first:
            self.columns = _list_columns(told.get("ResultSetMetadata", {}).get("ColumnInfo", ()))
        values = [[each.get("VarCharValue") for each in row["Data"]] for row in told["Rows"]]
        names = [
            each.get("Name") for each in told.get("ResultSetMetadata", {}).get("ColumnInfo", ())
        ]
        if is_first and self.has_header and values and values[0] == names:
            values = values[1:]
        return all(self._add_row(each) for each in values)

    def _add_row(self, values: Sequence[Any]) -> bool:
        self.text += sum(len(each or "") for each in values)
        if len(self.rows) == self.limit or self.text > MAX_TEXT:
            return False
        self.rows.append(
            {
                column["name"]: convert_value(value, column["type"])
                for column, value in zip(self.columns, values)
            }
        )
        return True


def iter_pages(read_page: Callable[[str], Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yields the pages of GetQueryResults; ``read_page`` sends a token, empty for the first page.

    Raises StepError for pages that do not end.
    """
    guard, token = PaginationGuard(), ""
    while True:
        page = read_page(token)
        rows = read_member(page, _REQUEST, "ResultSet", "Rows")
        yield page
        token = str(page.get("NextToken") or "")
        if not token:
            return
        if guard.is_repeated(token) or guard.is_stalled(is_empty=not rows):
            raise UnexpectedResponse(f"{_REQUEST}: the pages of the result do not end")


def fetch_rows(pages: Iterable[Mapping[str, Any]], limit: int, *, has_header: bool) -> QueryRows:
    """Returns the first ``limit`` rows of the pages of GetQueryResults.

    ``has_header`` is True for a SELECT, whose first row has the names of the columns.
    """
    reader, fits = _RowReader(limit, has_header), True
    for number, page in enumerate(pages):
        fits = reader.add_page(page, is_first=number == 0)
        if not fits:
            break
    return QueryRows(reader.rows, reader.columns, reader.written, not fits)


def convert_value(text: Any, kind: str) -> Any:
    """Returns a value of a result in the type of its column, as far as JSON has that."""
    if text is None:
        return None
    if kind == "boolean":
        return text == "true"
    try:
        if kind in _WHOLE:
            return int(text)
        if kind in _FLOATING:
            number = float(text)
            return number if isfinite(number) else text
    except ValueError:
        return text
    return text


def _list_columns(told: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Returns name and type of each column; a repeated name gets a number."""
    found: dict[str, str] = {}
    for column in told:
        name, number = str(column.get("Name", "")), 1
        while (name if number == 1 else f"{name}_{number}") in found:
            number += 1
        found[name if number == 1 else f"{name}_{number}"] = str(column.get("Type", ""))
    return [{"name": name, "type": kind} for name, kind in found.items()]


def list_result_objects(execution: Mapping[str, Any], context: StepContext) -> ObjectList:
    """Returns the objects that a query wrote: its result, or the files of a table.

    Raises StepError.
    """
    written = execution.get("Statistics", {}).get("DataManifestLocation")
    result = execution.get("ResultConfiguration", {}).get("OutputLocation")
    if written:
        found = [S3Uri.parse(line) for line in _read_lines(S3Uri.parse(written), context)]
        return _list_bare(found, context)
    if not result:  # the workgroup manages its results
        return _list_bare([], context)
    uri = S3Uri.parse(result)
    folder = S3Uri(uri.bucket, uri.key[: uri.key.rfind("/") + 1])
    with context.manifest() as manifest:
        for info in _look_up(uri, context):
            manifest.add_object(info)
    return manifest.objects(folder)


def _look_up(uri: S3Uri, context: StepContext) -> Iterator[ObjectInfo]:
    try:
        yield context.storage().head(uri)
    except NotFound:  # a statement without a result
        return


def _read_lines(place: S3Uri, context: StepContext) -> list[str]:
    data = context.storage().read(place, _MAX_LIST)
    try:
        return [line.strip() for line in data.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise StepError(f"{place}: not a list of files", type="NotText") from None


def _list_bare(uris: Sequence[S3Uri], context: StepContext) -> ObjectList:
    """Returns a list of objects of which only the keys are known."""
    bucket = uris[0].bucket if uris else "none"
    with context.manifest() as manifest:
        for uri in uris:
            elsewhere = "" if uri.bucket == bucket else uri.bucket
            manifest.add_object(ObjectInfo(uri.key, 0, bucket=elsewhere))
    return replace(manifest.objects(S3Uri(bucket)), is_bare=bool(uris))
