"""Contents after a run: objects, prefixes, files, folders, and what is not there."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from rolerunner.model import S3Uri
from rolerunner.spec_testing.contents import (
    Content,
    UnreadableObject,
    read_file,
    read_object,
    read_partitions,
)


class FakeS3:
    """A bucket with two objects; an error is raised by all requests."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def client(self, service: str, account: str) -> FakeS3:
        assert (service, account) == ("s3", "444455556666")
        return self

    def get_object(self, **_: str) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {
            "Body": io.BytesIO(b"abc"),
            "ContentType": "text/csv",
            "Metadata": {"m": "n"},
            "ServerSideEncryption": "AES256",
        }

    def get_object_tagging(self, **_: str) -> dict[str, Any]:
        return {"TagSet": [{"Key": "t", "Value": "u"}]}

    def get_paginator(self, name: str) -> FakeS3:
        assert name == "list_objects_v2"
        return self

    def paginate(self, **place: str) -> Iterator[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        yield {"Contents": [{"Key": f"{place['Prefix']}b"}, {"Key": f"{place['Prefix']}d/c"}]}
        yield {}
        yield {"Contents": [{"Key": f"{place['Prefix']}a"}]}


def read(uri: S3Uri, error: Exception | None = None) -> Content | None:
    aws: Any = FakeS3(error)
    return read_object(aws, uri, "444455556666")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


def test_an_object_has_its_bytes_and_what_is_stored_with_it() -> None:
    assert read(S3Uri("box", "a")) == Content(
        b"abc",
        stored={
            "content_type": "text/csv",
            "metadata": {"m": "n"},
            "encryption": "AES256",
            "storage_class": "STANDARD",
            "tags": {"t": "u"},
        },
    )


def test_a_prefix_has_the_sorted_names_below_it() -> None:
    assert read(S3Uri("box", "in/")) == Content(names=("a", "b", "d/c"))


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchBucket", "404"])
@pytest.mark.parametrize("key", ["a", "in/"])
def test_what_does_not_exist_is_none(code: str, key: str) -> None:
    assert read(S3Uri("box", key), refused(code)) is None


@pytest.mark.parametrize(
    "error", [refused("AccessDenied"), EndpointConnectionError(endpoint_url="http://x")]
)
def test_other_errors_make_an_object_unreadable(error: Exception) -> None:
    with pytest.raises(UnreadableObject) as caught:
        read(S3Uri("box", "a"), error)
    assert str(caught.value) == str(error)


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "b").write_bytes(b"x")
    (tmp_path / "d" / "e" / "a").write_bytes(b"y")
    assert read_file(tmp_path / "d" / "b", is_folder=False) == Content(b"x")
    assert read_file(tmp_path / "d", is_folder=True) == Content(names=("b", "e/a"))
    assert read_file(tmp_path / "none", is_folder=True) == Content(names=())
    assert read_file(tmp_path / "none", is_folder=False) is None
    assert read_file(tmp_path / "d", is_folder=False) is None


@pytest.mark.parametrize(
    ("content", "summary"),
    [
        (Content(b"x"), "1 byte"),
        (Content(b"x" * 1000), "1,000 bytes"),
        (Content(names=()), "0: "),
        (Content(names=("a", "b")), "2: a, b"),
        (Content(names=tuple("abcdefghijkl")), "12: a, b, c, d, e, f, g, h, i, j"),
    ],
)
def test_a_summary_is_short(content: Content, summary: str) -> None:
    assert content.summary() == summary


class FakeGlue:
    """A catalog with one table, in the second of two accounts."""

    accounts = ("111122223333", "444455556666")

    def __init__(self) -> None:
        self.account = ""

    def client(self, service: str, account: str) -> FakeGlue:
        assert service == "glue"
        self.account = account
        return self

    def get_table(self, **names: str) -> None:
        if self.account != "444455556666" or names != {"DatabaseName": "sales", "Name": "orders"}:
            raise refused("EntityNotFoundException")

    def get_paginator(self, name: str) -> FakeGlue:
        assert name == "get_partitions"
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        yield {"Partitions": [{"Values": ["b"]}]}
        yield {"Partitions": [{"Values": ["a"]}]}


def test_partitions_of_a_table_in_any_account() -> None:
    aws: Any = FakeGlue()
    assert read_partitions("sales.orders", aws) == [["a"], ["b"]]
    assert read_partitions("sales.none", aws) is None
