"""Keys to paths and back, globs, ranges and checksums, for whatever is thrown at them."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import os
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.utils
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rolerunner.actions.upload_items import guess_content_type
from rolerunner.common.cancellation import Cancel
from rolerunner.common.files import resolve_key_path
from rolerunner.errors import UnsafeKey
from rolerunner.model import S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.local_files import walk_folder
from rolerunner.selection.manifest import ManifestWriter
from rolerunner.selection.target_index import TargetIndex
from rolerunner.sessions.timestamps import parse_timestamp
from rolerunner.storage.integrity import ExpectedChecksum
from rolerunner.storage.protocol import ObjectInfo, Outcome
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
    monkeypatch.setattr("rolerunner.storage.sorting._SORTED_AT_ONCE", 10)
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


@given(st.lists(TEXT.filter(bool), unique=True, max_size=20), st.data())
def test_what_stands_there_is_found_in_any_order(there: list[str], data: Any) -> None:
    class Fake:
        def list(self, prefix: S3Uri, *, cancel: Cancel) -> Any:
            return iter([ObjectInfo(key, 1) for key in sorted(there, key=str.encode)])

        def head(self, uri: S3Uri) -> ObjectInfo:
            from rolerunner.errors import NotFound

            if uri.key not in there:
                raise NotFound("none")
            return ObjectInfo(uri.key, 1)

    asked = data.draw(
        st.lists(st.one_of(st.sampled_from([*there, "a"]), TEXT.filter(bool)), max_size=20)
    )
    for expected in (1, 1000):
        existing = TargetIndex(Fake(), S3Uri("bucket"), expected, Cancel())  # type: ignore[arg-type]
        assert [existing.find(S3Uri("bucket", key)) is not None for key in asked] == [
            key in there for key in asked
        ]


@pytest.mark.parametrize(
    ("include", "exclude", "meant", "not_meant"),
    [
        (["*.csv"], [], ["a.csv", ".csv"], ["d/a.csv", "a.CSV"]),
        (["**/*.csv"], [], ["a.csv", "d/e/a.csv"], ["a.txt"]),
        (["d/**"], [], ["d/a", "d/e/f"], ["a", "dd/a"]),
        ([], ["**/_*"], ["a", "d/a_"], ["_a", "d/_a"]),
        (["{a,b}?.txt"], ["ab.txt"], ["a1.txt", "b2.txt"], ["ab.txt", "c1.txt"]),
        (["[!a]*"], [], ["b", "c.d"], ["a", "ab"]),
    ],
)
def test_globs(
    include: list[str], exclude: list[str], meant: list[str], not_meant: list[str]
) -> None:
    selection = Selection.of(include, exclude)
    assert [selection.matches_name(name) for name in (*meant, *not_meant)] == [True] * len(
        meant
    ) + [False] * len(not_meant)


@given(TEXT, st.integers(0, 10), st.text("0123456789", max_size=3))
def test_an_empty_selection_means_all_and_bounds_hold(name: str, size: int, modified: str) -> None:
    assert Selection()(name, size, modified)
    assert Selection(min_size=3, max_size=7)(name, size, modified) == (3 <= size <= 7)
    assert Selection(before="5", after="2")(name, size, modified) == ("2" <= modified <= "5")


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


@given(
    st.text("a.", max_size=3),
    st.lists(st.sampled_from(["csv", "gz", "tgz", "json", "", "JSON", "x y"]), max_size=3),
)
def test_a_file_has_the_type_that_python_guesses(stem: str, endings: list[str]) -> None:
    name = ".".join([stem, *endings])
    kind, encoding = mimetypes.guess_type(name)
    assert guess_content_type(f"/folder.csv/{name}") == (
        "application/gzip" if encoding == "gzip" else kind or "application/octet-stream"
    )


@given(KEYS, TEXT)
def test_a_manifest_gives_back_what_it_was_given(key: str, etag: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        info = ObjectInfo(key, 3, etag, bucket="other")
        with ManifestWriter(Path(folder) / "m.jsonl") as manifest:
            manifest.add_object(info)
            manifest.add_outcome(Outcome(S3Uri("bucket", key), 5, etag=etag), "bucket")
        listed = manifest.objects(S3Uri("bucket"))
        first, second = listed
        assert (first, second.key, second.size, listed.count, listed.bytes) == (info, key, 5, 2, 8)


def test_a_list_made_of_a_list_keeps_the_versions(tmp_path: Path) -> None:
    first, second = tmp_path / "copied.jsonl", tmp_path / "chosen.jsonl"
    with ManifestWriter(first) as manifest:
        manifest.add_outcome(Outcome(S3Uri("bucket", "key"), 5, etag="e", version="v1"), "bucket")
    with ManifestWriter(second) as chosen:
        for info in manifest.objects(S3Uri("bucket")):
            chosen.add_object(info)
    (info,) = chosen.objects(S3Uri("bucket"))
    assert info == ObjectInfo("key", 5, "e", version="v1")
