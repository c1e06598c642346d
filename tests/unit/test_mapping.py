"""Keys to paths and back, globs, ranges and checksums, for whatever is thrown at them."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.utils
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rolerunner.common.file_paths import resolve_key_path
from rolerunner.errors import UnsafeKey
from rolerunner.selection.source_files import walk_folder
from rolerunner.sessions.timestamps import parse_timestamp
from rolerunner.storage.integrity import ExpectedChecksum
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.sorting import sort_objects
from rolerunner.storage.tuning import MAX_PARTS, choose_part_size

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KEYS = st.one_of(
    TEXT,
    st.lists(
        st.sampled_from(["..", ".", "", "a", "b.txt", "\0", "ü", "x" * 300]), min_size=1, max_size=5
    ).map("/".join),
)
ROOT = Path("/data/target")


@given(KEYS)
def test_a_key_is_a_path_below_the_folder_or_refused(key: str) -> None:
    try:
        path = Path(resolve_key_path(ROOT, key))
    except UnsafeKey:
        return
    assert os.path.normpath(path).startswith(f"{ROOT}/")
    assert path.relative_to(ROOT).as_posix() == key, "and back again"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(
        st.lists(
            st.text("ab.-/", min_size=1, max_size=4).filter(
                lambda part: "/" not in part and part not in (".", "..")
            ),
            min_size=1,
            max_size=3,
        ).map("/".join),
        max_size=12,
    )
)
def test_files_come_in_the_order_of_keys(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("files")
    for name in names:
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    found = [file.relative for file in walk_folder(str(folder))]
    assert found == sorted(found, key=str.encode)


@given(st.integers(1, 5 * 1024**4), st.integers(5 << 20, 1 << 30))
def test_parts_cover_an_object_once_and_are_few_enough(size: int, wanted: int) -> None:
    part = choose_part_size(size, wanted)
    assert part >= wanted
    assert -(-size // part) <= MAX_PARTS


@given(
    st.lists(st.tuples(KEYS, st.integers(0, 9), st.text("0123456789", max_size=3)), max_size=30),
    st.booleans(),
)
def test_sorting_is_sorting(made: list[tuple[str, int, str]], descending: bool) -> None:
    objects = [ObjectInfo(key, size, modified=modified) for key, size, modified in made]
    found = list(sort_objects(objects, lambda info: (info.size, info.key), descending=descending))
    assert found == sorted(objects, key=lambda info: (info.size, info.key), reverse=descending)


def test_sorting_spills_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rolerunner.common.external_sort.SORTED_AT_ONCE", 10)
    objects = [ObjectInfo(f"{number * 7919 % 1000}", number) for number in range(95)]
    assert [info.key for info in sort_objects(objects, lambda info: info.key)] == sorted(
        info.key for info in objects
    )


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 40))
def test_checksums_do_not_care_how_bytes_come(blocks: list[bytes], part: int) -> None:
    data = b"".join(blocks)
    plain = f"CRC32:{base64.b64encode(zlib.crc32(data).to_bytes(4, 'big')).decode()}"
    pieces = [data[start : start + part] for start in range(0, len(data), part)] or [b""]
    joined = hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in pieces)).hexdigest()
    for checksum in (
        plain,
        f"MD5:{joined}-{len(pieces)}",
        f"SHA1:{base64.b64encode(hashlib.sha1(data).digest()).decode()}",
    ):
        expected = ExpectedChecksum.of(checksum)
        assert expected is not None
        running = expected.start(len(data), lambda: part)
        assert running is not None
        for block in blocks:
            running.update(block)
        assert running.matches()
        other = expected.start(len(data), lambda: part)
        assert other is not None
        other.update(data + b"x")
        assert not other.matches()


MOMENTS = st.datetimes(datetime(1000, 1, 1))  # noqa: DTZ001 - hypothesis takes them without a zone


@given(
    MOMENTS,
    st.sampled_from(
        [
            "%Y-%m-%dT%H:%M:%SZ",
            "%Y-%m-%dT%H:%M:%S.000Z",
            "%a, %d %b %Y %H:%M:%S GMT",
            "%Y%m%dT%H%M%SZ",
        ]
    ),
)
def test_moments_are_read_as_botocore_reads_them(moment: Any, form: str) -> None:
    text = moment.strftime(form)
    assert parse_timestamp(text) == botocore.utils.parse_timestamp(text)
