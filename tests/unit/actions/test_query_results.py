"""Rows of a result in their types, up to a limit, and the objects that a query wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions import query_results
from rolerunner.actions.query_results import (
    convert_value,
    fetch_rows,
    iter_pages,
    list_result_objects,
)
from rolerunner.errors import NotFound, StepError
from rolerunner.model import JOB
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = [{"Name": "n", "Type": "integer"}, {"Name": "n", "Type": "varchar"}]


def page(*rows: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    data = [
        {"Data": [{} if each is None else {"VarCharValue": each} for each in row]} for row in rows
    ]
    return {"ResultSet": {"Rows": data, "ResultSetMetadata": {"ColumnInfo": COLUMNS}}, **more}


def test_the_header_of_a_select_is_no_row() -> None:
    found = fetch_rows([page(("n", "n"), ("1", None)), page(("2", "x"))], 9, has_header=True)
    assert found.rows == [{"n": 1, "n_2": None}, {"n": 2, "n_2": "x"}]
    assert found.columns == [{"name": "n", "type": "integer"}, {"name": "n_2", "type": "varchar"}]
    assert (found.is_truncated, found.written) == (False, 0)
    assert len(fetch_rows([page(("n", "n"))], 9, has_header=False).rows) == 1


def test_rows_end_at_the_limit_and_at_an_amount_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [page(("1", "a"), ("2", "b")), page(("3", "c"))]
    assert not fetch_rows(pages, 3, has_header=False).is_truncated
    cut = fetch_rows(iter(pages), 2, has_header=False)
    assert (len(cut.rows), cut.is_truncated) == (2, True)
    monkeypatch.setattr(query_results, "MAX_TEXT", 5)
    cut = fetch_rows(pages, 9, has_header=False)
    assert (len(cut.rows), cut.is_truncated) == (2, True)
    assert fetch_rows([page(UpdateCount=7)], 9, has_header=True).written == 7


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("7", "bigint", 7),
        ("1.5", "double", 1.5),
        ("NaN", "double", "NaN"),
        ("true", "boolean", True),
        ("false", "boolean", False),
        ("1.50", "decimal", "1.50"),
        ("x", "integer", "x"),
        (None, "integer", None),
    ],
)
def test_a_value_has_the_type_of_its_column(text: Any, kind: str, value: Any) -> None:
    assert convert_value(text, kind) == value


class Storage:
    """One object, and the list of the files that a query wrote."""

    def head(self, uri: Any) -> ObjectInfo:
        if uri.key == "q/none.txt":
            raise NotFound("there is no object")
        return ObjectInfo(uri.key, 5)

    def read(self, uri: Any, _limit: int) -> bytes:
        assert uri.key == "q/1-manifest.csv"
        return b"s3://lake/t/a\ns3://lake/t/b\ns3://other/t/c\n\n"


def test_the_objects_of_a_result(tmp_path: Path) -> None:
    context = make_context(tmp_path, roles={"role": JOB}, open_storage=lambda *_: Storage())
    result = {"ResultConfiguration": {"OutputLocation": "s3://results/q/1.csv"}}
    found = list_result_objects(result, context)
    assert [str(found.uri(each)) for each in found] == ["s3://results/q/1.csv"]
    assert (found.bytes, str(found.prefix)) == (5, "s3://results/q/")
    none = {"ResultConfiguration": {"OutputLocation": "s3://results/q/none.txt"}}
    assert len(list_result_objects(none, context)) == 0
    managed = list_result_objects({}, context)
    assert (len(managed), managed.is_bare) == (0, False)
    written = {**result, "Statistics": {"DataManifestLocation": "s3://results/q/1-manifest.csv"}}
    files = list_result_objects(written, context)
    assert [str(files.uri(each)) for each in files] == [
        "s3://lake/t/a",
        "s3://lake/t/b",
        "s3://other/t/c",
    ]
    assert files.is_bare
    assert replace(files, is_bare=False) == files


def test_pages_end_without_a_token_and_fail_at_a_repeated_one() -> None:
    pages = {"": page(NextToken="1"), "1": page(("1", "a"))}
    assert list(iter_pages(pages.__getitem__)) == list(pages.values())
    with pytest.raises(StepError, match="do not end"):
        list(iter_pages(lambda token: page(NextToken="1")))
    with pytest.raises(StepError, match=r"no ResultSet\.Rows"):
        list(iter_pages(lambda token: {}))
