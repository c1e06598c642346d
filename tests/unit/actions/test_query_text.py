"""Queries from files, places of their mistakes, and values as literals."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.query_text import QueryFile, check_query, find_place, render_literal
from rolerunner.errors import StepError
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("it's", "'it''s'"),
        ("' OR '1'='1", "''' OR ''1''=''1'"),
        (True, "true"),
        (False, "false"),
        (None, "NULL"),
        (3, "3"),
        (1.5, "1.5"),
        (date(2026, 1, 31), "DATE '2026-01-31'"),
        (datetime(2026, 1, 31, 6, 0), "TIMESTAMP '2026-01-31 06:00:00.000'"),  # noqa: DTZ001
        (
            datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=2))),
            "TIMESTAMP '2026-01-31 04:00:00.000'",
        ),
    ],
)
def test_a_value_is_a_literal(value: Any, literal: str) -> None:
    assert render_literal(value) == literal


def test_a_local_file_is_read_as_it_is(tmp_path: Path) -> None:
    path, context = tmp_path / "q.sql", make_context(tmp_path)
    query = QueryFile.model_validate({"from": str(path)})
    assert query.permissions() == []
    path.write_bytes(b"\xef\xbb\xbfSELECT '${{ params.day }}'")
    assert query.read(context) == "SELECT '${{ params.day }}'"
    for data, message in ((b"\xff", "not UTF-8"), (b" \n", "is empty"), (b"x" * 300_000, "262,1")):
        path.write_bytes(data)
        with pytest.raises(StepError, match=message):
            query.read(context)
    path.unlink()
    with pytest.raises(StepError, match=r"q\.sql"):
        query.read(context)
    os.mkfifo(path)
    with pytest.raises(StepError, match="pipe"):
        query.read(context)


def test_the_place_of_a_mistake() -> None:
    query = QueryFile.model_validate({"from": "s3://ops/a.sql"})
    assert find_place(query, "SYNTAX_ERROR: line 12:5: x") == "s3://ops/a.sql:12:5"
    assert find_place("SELECT", "line 1:2: x") == "'query':1:2"
    assert find_place("SELECT", "no reason") == "'query'"
    assert check_query("SELECT 1") == "SELECT 1"
