"""How Hadoop is set up for a bucket, and what errors of queries become."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.spark import sql
from rolerunner.spark.sql import (
    QueryFailed,
    TableFiles,
    configure_bucket,
    fetch_rows,
    find_credentials_provider,
)

TABLES = {"orders": TableFiles("s3a://box/in/", "csv", {"header": "true"})}


class Hadoop(dict[str, str]):
    def set(self, name: str, value: str) -> None:
        self[name] = value


class S3aConstants:
    """Hadoop's S3A without external ids."""

    @property
    def ASSUMED_ROLE_EXTERNAL_ID(self) -> str:  # noqa: N802 - Hadoop's name
        raise AttributeError


@pytest.fixture(autouse=True)
def _no_bucket_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_CONFIGURED", {})


def make_session(
    version: str = "3.3.4", constants: Any = None, frame: Any = None, error: Any = None
) -> Any:
    def run(_: str) -> Any:
        if error is not None:
            raise error
        return frame

    hadoop = Hadoop()
    info = SimpleNamespace(getVersion=lambda: version)
    constants = constants or SimpleNamespace(ASSUMED_ROLE_EXTERNAL_ID="x")
    packages = SimpleNamespace(
        util=SimpleNamespace(VersionInfo=info),
        fs=SimpleNamespace(s3a=SimpleNamespace(Constants=constants)),
    )
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
            _jvm=SimpleNamespace(org=SimpleNamespace(apache=SimpleNamespace(hadoop=packages))),
            _jsc=SimpleNamespace(hadoopConfiguration=lambda: hadoop),
        ),
        newSession=lambda: SimpleNamespace(sql=run, table=run, read=reader),
        hadoop=hadoop,
        views=views,
    )


@pytest.mark.parametrize(
    ("version", "second"),
    [("2.10.1", False), ("3.3.6-amzn-1", False), ("3.4.0", True), ("3.10.0", True), ("4.0", True)],
)
def test_the_provider_is_that_of_hadoops_sdk(version: str, second: bool) -> None:
    name = find_credentials_provider(make_session(version))
    assert name.startswith("software.amazon.awssdk." if second else "com.amazonaws.") is True


ARN = "fs.s3a.bucket.box.assumed.role.arn"


def test_a_bucket_has_its_settings_and_one_role() -> None:
    session = make_session()
    for _ in range(2):
        configure_bucket(session, "box", {ARN: "r1", "x": "y"})
    assert session.hadoop == {ARN: "r1", "x": "y"}
    with pytest.raises(StepError, match="'box' was accessed as another role") as caught:
        configure_bucket(session, "box", {ARN: "r2"})
    assert caught.value.type == "OneRoleABucket"
    assert session.hadoop[ARN] == "r1"
    configure_bucket(session, "other", {"fs.s3a.bucket.other.assumed.role.arn": "r2"})


def test_an_external_id_needs_a_hadoop_that_sends_it() -> None:
    settings = {ARN: "r", "fs.s3a.bucket.box.assumed.role.external.id": "e"}
    configure_bucket(make_session(), "box", settings)
    session = make_session(constants=S3aConstants())
    with pytest.raises(StepError, match="has an 'external_id'") as caught:
        configure_bucket(session, "box", settings)
    assert caught.value.type == "S3aCannot"
    assert session.hadoop == {}
    configure_bucket(session, "box", {ARN: "r"})


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
