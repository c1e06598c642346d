"""Fields that compress and decompress: what contradicts, and what objects are called."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from rolerunner.actions.compression_fields import CompressFields, DecompressFields
from rolerunner.model import S3Uri
from rolerunner.storage.compression import Compression
from rolerunner.storage.decompression import MAX_RATIO, Decompression


class Stores(CompressFields):
    """Fields of an action that stores objects."""

    if_exists: str = "overwrite"
    delete_extra: bool = False
    content_encoding: Optional[str] = None


class Downloads(DecompressFields):
    """Fields of an action that downloads objects."""

    if_exists: str = "overwrite"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"compress_level": 3}, "'compress_level' and 'compress_as' need 'compress'"),
        ({"compress_as": "content_encoding"}, "need 'compress'"),
        ({"compress": "gzip", "compress_level": 10}, "of gzip is 0 to 9, not 10"),
        ({"compress": "zstd", "compress_level": 0}, "of zstd is 1 to 22, not 0"),
        ({"compress": "gzip", "if_exists": "skip_same"}, "'skip_same' cannot compare compressed"),
        ({"compress": "gzip", "delete_extra": True}, "'delete_extra' cannot be combined"),
        (
            {"compress": "gzip", "compress_as": "content_encoding", "content_encoding": "br"},
            "'compress_as: content_encoding' sets that header: leave out 'content_encoding'",
        ),
    ],
)
def test_fields_that_contradict_each_other(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stores(**fields).check_compression()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"if_exists": "skip_same", "delete_extra": True, "content_encoding": "br"},
        {"compress": "gzip", "compress_level": 0, "if_exists": "skip"},
        {"compress": "gzip", "compress_level": 9, "content_encoding": "br"},
        {"compress": "zstd", "compress_level": 1},
        {"compress": "zstd", "compress_level": 22},
        {"compress": "gzip", "compress_as": "content_encoding", "delete_extra": True},
    ],
)
def test_fields_that_fit(fields: dict[str, Any]) -> None:
    Stores(**fields).check_compression()


@pytest.mark.parametrize(
    ("fields", "key", "options"),
    [
        ({}, "a.csv", {}),
        ({"compress": "gzip"}, "a.csv.gz", {"ContentType": "application/gzip"}),
        ({"compress": "zstd"}, "a.csv.zst", {"ContentType": "application/zstd"}),
        (
            {"compress": "gzip", "compress_as": "content_encoding"},
            "a.csv",
            {"ContentEncoding": "gzip"},
        ),
    ],
)
def test_what_is_compressed_is_marked(
    fields: dict[str, Any], key: str, options: dict[str, Any]
) -> None:
    stores = Stores(**fields)
    assert stores.compressed_target(S3Uri("b", "a.csv")) == S3Uri("b", key)
    assert stores.compression_options() == options


def test_a_name_that_has_the_suffix_keeps_it_if_it_is_that_of_one_object() -> None:
    stores, target = Stores(compress="gzip"), S3Uri("b", "a.gz")
    assert stores.compressed_target(target, is_named=True) == target
    assert stores.compressed_target(target) == S3Uri("b", "a.gz.gz")
    assert stores.compressed_target(S3Uri("b", "a"), is_named=True) == S3Uri("b", "a.gz")


def test_compression_has_the_level() -> None:
    assert Stores().compression() is None
    assert Stores(compress="gzip").compression() == Compression.of("gzip", None)
    assert Stores(compress="gzip", compress_level=9).compression() == Compression.of("gzip", 9)


@pytest.mark.parametrize(
    ("value", "extras"),
    [("gzip", ()), ("zstd", ("zstd",)), ("${{ params.x }}", ("zstd",)), (None, ())],
)
def test_zstd_needs_an_extra(value: Optional[str], extras: tuple[str, ...]) -> None:
    assert CompressFields.list_extras({"compress": value}) == extras
    assert DecompressFields.list_extras({"decompress": value}) == extras
    assert DecompressFields.list_extras({"decompress": "auto"}) == ("zstd",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_bytes": 1}, "'max_bytes' and 'max_ratio' need 'decompress'"),
        ({"max_ratio": 1}, "need 'decompress'"),
        ({"decompress": "auto", "if_exists": "skip_same"}, "'skip_same' cannot compare"),
    ],
)
def test_limits_need_decompression(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Downloads(**fields).check_decompression()
    Downloads().check_decompression()
    Downloads(decompress="gzip", max_bytes=1, if_exists="skip").check_decompression()


@pytest.mark.parametrize(
    ("chosen", "key", "codec", "name"),
    [
        (None, "a.gz", None, "a.gz"),
        ("gzip", "a.gz", "gzip", "a"),
        ("gzip", "a.zst", None, "a.zst"),
        ("bz2", "a.bz2", "bz2", "a"),
        ("auto", "a.xz", "xz", "a"),
        ("auto", "a.zst", "zstd", "a"),
        ("auto", "a.csv", "", "a.csv"),
    ],
)
def test_the_key_decides_what_is_decompressed(
    chosen: Any, key: str, codec: Optional[str], name: str
) -> None:
    fields = Downloads(decompress=chosen)
    expected = None if codec is None else Decompression(codec, None, MAX_RATIO)
    assert fields.decompression(key) == expected
    assert fields.decompressed_name(key) == name


def test_decompression_has_the_limits() -> None:
    fields = Downloads(decompress="gzip", max_bytes=5, max_ratio=7)
    assert fields.decompression("a.gz") == Decompression("gzip", 5, 7)
