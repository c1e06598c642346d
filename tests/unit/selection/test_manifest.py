"""A manifest returns the objects that were written to it."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ManifestWriter
from rolerunner.storage.protocol import ObjectInfo, Outcome

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KEYS = st.one_of(
    TEXT,
    st.lists(
        st.sampled_from(["..", ".", "", "a", "b.txt", "\0", "ü", "x" * 300]), min_size=1, max_size=5
    ).map("/".join),
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


@pytest.mark.parametrize(
    ("batches", "ascend"),
    [
        ([["a", "b"], ["c"]], True), ([["a", "b"], [], ["b"]], False), ([["b", "a"]], False),
        ([["c"], ["a", "b"]], False), ([["other/a"]], False),
    ],
)  # fmt: skip
def test_objects_are_added_together_as_one_by_one(
    batches: list[list[str]], ascend: bool, tmp_path: Path
) -> None:
    infos = [
        [ObjectInfo(key.rpartition("/")[2], 3, "e", bucket=key.rpartition("/")[0]) for key in batch]
        for batch in batches
    ]
    with ManifestWriter(tmp_path / "together") as together, ManifestWriter(tmp_path / "1") as alone:
        for batch in infos:
            together.add_objects(batch)
            for info in batch:
                alone.add_object(info)
    lists = [each.objects(S3Uri("bucket")) for each in (together, alone)]
    expected = list(chain.from_iterable(infos))
    for each in lists:
        assert list(each) == expected
        assert (each.count, each.bytes) == (len(expected), 3 * len(expected))
        assert each.ascending is ascend


def test_a_list_made_of_a_list_keeps_the_versions(tmp_path: Path) -> None:
    first, second = tmp_path / "copied.jsonl", tmp_path / "chosen.jsonl"
    with ManifestWriter(first) as manifest:
        manifest.add_outcome(Outcome(S3Uri("bucket", "key"), 5, etag="e", version="v1"), "bucket")
    with ManifestWriter(second) as chosen:
        for info in manifest.objects(S3Uri("bucket")):
            chosen.add_object(info)
    (info,) = chosen.objects(S3Uri("bucket"))
    assert info == ObjectInfo("key", 5, "e", version="v1")
