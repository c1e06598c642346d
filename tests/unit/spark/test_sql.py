"""Rows as plain values, and what errors of queries become."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.spark.sql import QueryFailed, TableFiles, fetch_rows

TABLES = {"orders": TableFiles("s3a://box/in/", "csv", {"header": "true"})}


def make_session(version: str = "3.3.4", frame: Any = None, error: Any = None) -> Any:
    def run(_: str) -> Any:
        if error is not None:
            raise error
        return frame

    info = SimpleNamespace(getVersion=lambda: version)
    packages = SimpleNamespace(util=SimpleNamespace(VersionInfo=info))
    views: list[str] = []
    reader = SimpleNamespace(
        format=lambda _: SimpleNamespace(
            options=lambda **_: SimpleNamespace(
                load=lambda _: SimpleNamespace(createOrReplaceTempView=views.append)
            )
        )
    )
    return SimpleNamespace(
        sparkContext=SimpleNamespace(
            _jvm=SimpleNamespace(org=SimpleNamespace(apache=SimpleNamespace(hadoop=packages)))
        ),
        newSession=lambda: SimpleNamespace(sql=run, table=run, read=reader),
        views=views,
    )


def test_rows_are_plain_values() -> None:
    row = SimpleNamespace(asDict=lambda: {"n": 1, "day": date(2026, 1, 2), "none": None})
    taken: list[int] = []

    def take(most: int) -> list[Any]:
        taken.append(most)
        return [row]

    session = make_session(frame=SimpleNamespace(columns=["n", "day", "none"], take=take))
    columns, rows = fetch_rows(session, TABLES, "select 1", 10)
    assert columns == ["n", "day", "none"]
    assert rows == [{"n": 1, "day": "2026-01-02", "none": None}]
    assert (taken, session.views) == ([10], ["orders"])


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            RuntimeError("[TABLE_OR_VIEW_NOT_FOUND] the table x"),
            "TABLE_OR_VIEW_NOT_FOUND",
            "[TABLE_OR_VIEW_NOT_FOUND] the table x",
        ),
        (RuntimeError("[A_B.C_D]\nmore"), "RuntimeError", "[A_B.C_D]"),
        (ValueError("first\nsecond"), "ValueError", "first"),
        (ValueError(""), "ValueError", "ValueError"),
    ],
)
def test_an_error_has_its_class_and_its_first_line(
    error: Exception, kind: str, message: str
) -> None:
    with pytest.raises(QueryFailed) as caught:
        fetch_rows(make_session(error=error), TABLES, None, 1)
    assert (caught.value.message, caught.value.text) == (message, str(error))
    assert caught.value.type == kind


def test_without_s3a_the_package_is_named() -> None:
    error = RuntimeError("java.lang.ClassNotFoundException: Class x.S3AFileSystem not found")
    with pytest.raises(QueryFailed, match="it has no S3A") as caught:
        fetch_rows(make_session(error=error), TABLES, None, 1)
    assert caught.value.type == "NoS3A"
    assert "org.apache.hadoop:hadoop-aws:3.3.4" in caught.value.hint
