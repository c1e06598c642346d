"""The journal of large uploads: what it writes and when, and what it reads again."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.storage import upload_journal
from rolerunner.storage.hashing import compute_digest
from rolerunner.storage.upload_journal import RecordedUpload, StoredPart, UploadJournal

UPLOAD = RecordedUpload("s3://b/k", "id", "s3://a/k", "etag", "", 10, 4, "options")
PART = StoredPart({"PartNumber": 2, "ETag": '"e"', "ChecksumCRC32": "AAAAAA=="}, "00")


def open_journal(texts: list[str], text: str = "") -> UploadJournal:
    return UploadJournal(text, texts.append, lambda *_: None)


def test_a_later_run_reads_what_was_written() -> None:
    texts: list[str] = []
    journal = open_journal(texts)
    journal.begin(replace(UPLOAD, parts={}))
    journal.add_part(UPLOAD.target, PART)
    assert texts == []  # within five seconds nothing is written
    journal.save()
    later = open_journal([], texts[-1])
    assert later.find(UPLOAD.target) == replace(UPLOAD, parts={2: PART})
    assert later.find("s3://b/other") is None
    assert [each.upload_id for each in later.list_uploads()] == ["id"]
    later.remove(UPLOAD.target)
    assert later.list_uploads() == []


def test_it_is_written_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("rolerunner.storage.upload_journal.time.monotonic", lambda: now[0])
    texts: list[str] = []
    journal = open_journal(texts)
    journal.begin(replace(UPLOAD, parts={}))
    for seconds, written in ((4.9, 0), (5.0, 1), (9.9, 1), (10.0, 2)):
        now[0] = 100 + seconds
        journal.add_part(UPLOAD.target, PART)
        assert len(texts) == written


def test_a_state_that_cannot_be_written_does_not_fail_the_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload_journal, "WRITE_SECONDS", 0.0)

    def refuse(text: str) -> None:
        raise StepError(f"{len(text)} bytes cannot be written")

    journal = UploadJournal("", refuse, lambda *_: None)
    journal.begin(replace(UPLOAD, parts={}))
    journal.add_part(UPLOAD.target, PART)
    with pytest.raises(StepError):
        journal.save()  # before the upload is completed it matters


@pytest.mark.parametrize("text", ["", "an id of a query", "{}", '{"uploads": [{"no": 1}]}'])
def test_notes_of_others_are_no_uploads(text: str) -> None:
    assert open_journal([], text).list_uploads() == []


def test_it_stays_on_this_machine() -> None:
    assert pickle.loads(pickle.dumps(open_journal([]))) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"etag": "other"}, "the source has changed"),
        ({"version": "2"}, "the source has changed"),
        ({"size": 11}, "the source has changed"),
        ({"part_size": 5}, "parts have another size now"),
        ({"options": "others"}, "metadata or options have changed"),
    ],
)
def test_parts_are_of_use_while_nothing_has_changed(change: dict[str, Any], reason: str) -> None:
    assert UPLOAD.explain_difference(replace(UPLOAD, upload_id="", **change)) == reason


def test_the_content_of_a_part_is_compared_by_its_checksum_or_else_its_etag() -> None:
    data, md5 = b"data", f'"{hashlib.md5(b"data").hexdigest()}"'
    checked = {"ETag": '"kms"', "ChecksumCRC32": compute_digest("CRC32", data)}
    assert StoredPart(checked).has_content(data)
    assert not StoredPart({**checked, "ETag": md5}).has_content(b"tada")
    assert StoredPart({"ETag": md5}).has_content(data)
    assert not StoredPart({"ETag": '"kms"'}).has_content(data)
