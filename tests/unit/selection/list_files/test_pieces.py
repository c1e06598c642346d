"""Lists in S3 are read from one state of the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import NotFound, ServiceFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.selection.list_files import pieces
from rolerunner.selection.list_files.pieces import FilePieces
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from rolerunner.storage.parts import ObjectRange
    from rolerunner.storage.protocol import Storage

LIST = S3Uri("ops", "list.txt")


class ChangingList:
    """An object whose reads fail once it is replaced or deleted."""

    def __init__(self, later: str) -> None:
        self.etag, self.later = "one", later
        self.versions: list[str] = []

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        del version
        if not self.etag:
            raise NotFound(f"{uri}: no such key")
        return ObjectInfo(uri.key, 8, self.etag, version="v1")

    def read_range(self, source: ObjectRange, cancel: Any = None) -> bytes:
        del cancel
        self.versions.append(source.info.version)
        if source.info.etag != self.etag:
            raise ServiceFailed("412", type="PreconditionFailed")
        self.etag = self.later
        return b"abcd"


def read(storage: ChangingList) -> list[bytes]:
    return list(FilePieces(cast("Storage", storage), Cancel()).read(LIST))


@pytest.mark.parametrize("later", ["two", ""])
def test_list_that_is_replaced_or_deleted_is_an_error(
    monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 4)
    with pytest.raises(StepError, match=r"s3://ops/list\.txt: the list changed while it was read"):
        read(ChangingList(later))


def test_list_is_read_without_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 4)
    storage = ChangingList("one")
    assert read(storage) == [b"abcd", b"abcd"]
    assert storage.versions == ["", ""]
