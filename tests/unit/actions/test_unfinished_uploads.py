"""Unfinished uploads: their size, their end, and the journal that keeps them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.actions.unfinished_uploads import (
    AbortRequest,
    abort_leftover_uploads,
    measure_upload,
    open_upload_journal,
)
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo, Outcome
from tests.unit.actions.context import Recorded, make_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.storage.protocol import RequestSender, Storage
    from rolerunner.storage.upload_journal import UploadJournal

URI = S3Uri("box", "a")


class Requests:
    """One upload, which is gone if it has no parts."""

    def __init__(self, *sizes: int, gone: bool = False) -> None:
        self.sizes, self.gone = sizes, gone
        self.sent: list[str] = []

    def call_unless(self, _: object, operation: str, __: object, **names: Any) -> Any:
        assert names == {"Bucket": "box", "Key": "a", "UploadId": "u1"}
        self.sent.append(operation)
        if self.gone:
            return None
        return {"Parts": [{"PartNumber": n, "Size": s} for n, s in enumerate(self.sizes, 1)]}


def as_sender(requests: Requests) -> RequestSender:
    return cast("RequestSender", requests)


@pytest.mark.parametrize(("sizes", "total"), [((), 0), ((5, 7), 12)])
def test_the_size_of_an_upload(sizes: tuple[int, ...], total: int) -> None:
    assert measure_upload(as_sender(Requests(*sizes)), URI, "u1", Cancel()) == total
    assert measure_upload(as_sender(Requests(gone=True)), URI, "u1", Cancel()) is None


@pytest.mark.parametrize(
    ("measure", "gone", "status", "size", "sent"),
    [
        (True, False, "done", 12, ["list_parts", "abort_multipart_upload"]),
        (False, False, "done", 0, ["abort_multipart_upload"]),
        (True, True, "skipped", 0, ["list_parts"]),
        (False, True, "skipped", 0, ["abort_multipart_upload"]),
    ],
)
def test_an_upload_is_aborted_unless_it_is_gone(
    measure: bool, gone: bool, status: str, size: int, sent: list[str]
) -> None:
    requests = Requests(5, 7, gone=gone)
    info = ObjectInfo("a", 0, version="u1")
    outcome = AbortRequest(measure).send(as_sender(requests), URI, info, Cancel())
    assert (outcome.status, outcome.size, requests.sent) == (status, size, sent)


def test_a_run_without_state_keeps_no_journal(tmp_path: Path) -> None:
    work: Any = SimpleNamespace(is_kept=False)
    assert open_upload_journal(make_context(tmp_path, started_work=work)) is None
    assert open_upload_journal(make_context(tmp_path, started_work=None)) is None


class Aborts:
    """Aborts uploads, or refuses to."""

    def __init__(self, error: AccessDenied | None = None) -> None:
        self.error = error
        self.aborted: list[str] = []

    def send_each(self, infos: Any, bucket: str, *_: object) -> Iterator[Outcome]:
        for info in infos:
            self.aborted.append(info.version)
            yield Outcome(S3Uri(bucket, info.key), error=self.error)


@pytest.mark.parametrize("is_refused", [False, True])
def test_what_a_step_has_left_is_aborted_and_a_failure_is_a_warning(
    tmp_path: Path, is_refused: bool
) -> None:
    upload = SimpleNamespace(target="s3://box/a", upload_id="u1", parts={1: None, 2: None})
    journal = cast("UploadJournal", SimpleNamespace(list_uploads=lambda: [upload]))
    recorded = Recorded()
    storage = Aborts(AccessDenied("no", hint="ask") if is_refused else None)
    context = make_context(tmp_path, recorded)
    abort_leftover_uploads(journal, cast("Storage", storage), context)
    assert storage.aborted == ["u1"]
    ((level, message, values),) = recorded.notes
    expected = {"target": "s3://box/a", "upload_id": "u1"}
    if is_refused:
        assert (level, values) == ("warning", {**expected, "reason": "no"})
        assert "s3.cleanup finds it" in message
    else:
        assert (level, values) == ("info", {**expected, "parts": 2})


def test_nothing_is_aborted_without_a_journal(tmp_path: Path) -> None:
    storage = Aborts()
    abort_leftover_uploads(None, cast("Storage", storage), make_context(tmp_path))
    assert storage.aborted == []
