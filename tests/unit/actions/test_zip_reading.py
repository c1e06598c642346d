"""The members of zip archives, as their central directories list them."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from rolerunner.actions.archive_formats import FORMATS
from rolerunner.actions.archive_reading import PackedArchive
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed
from rolerunner.model import S3Uri
from rolerunner.storage.decompression import DecompressionBounds
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.storage.engines import open_engine

if TYPE_CHECKING:
    from tests.memory_aws import Store


def count_members(store: Store, data: bytes) -> int:
    """Returns how many members an archive in S3 has."""
    entry = store.put("landing", "it.zip", data)
    uri, info = S3Uri("landing", "it.zip"), ObjectInfo("it.zip", len(data), entry.etag)
    archive = PackedArchive(uri, info, FORMATS["zip"], open_engine("native"), Cancel())
    return sum(1 for _ in archive.members(DecompressionBounds(str(uri))))


def repeat_entry(count: int, claimed: int) -> bytes:
    """Returns a zip whose directory names a member so often, with an end of 32 bits."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("it", b"1")
    data = target.getvalue()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    directory = data[start:end] * count
    sizes = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, claimed, claimed, len(directory), start, 0)
    return data[:start] + directory + sizes


@pytest.mark.parametrize("count", [1, 3, 65_536, 65_600])
def test_all_members_are_read_however_they_are_counted(count: int, memory_aws: Store) -> None:
    assert count_members(memory_aws, repeat_entry(count, count % 65_536)) == count


@pytest.mark.parametrize(("count", "claimed"), [(3, 2), (65_600, 63), (2, 0)])
def test_entries_that_are_not_claimed_are_refused(
    count: int, claimed: int, memory_aws: Store
) -> None:
    with pytest.raises(IntegrityFailed, match=f"entries, and claims {claimed}"):
        count_members(memory_aws, repeat_entry(count, claimed))
