"""Large objects whose parts an earlier attempt has stored, in both engines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed, ServiceFailed
from rolerunner.model import S3Uri
from rolerunner.storage import upload_journal
from rolerunner.storage.boto.resumed_uploads import is_usable_after
from rolerunner.storage.hashing import compute_digest
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome
from rolerunner.storage.upload_journal import UploadJournal
from tests import memory_aws as aws

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE, TARGET = S3Uri("source", "a"), S3Uri("target", "b")
PART = 1 << 20
DATA = bytes(PART) + b"1" * PART + b"2" * PART + b"3"
"""Four parts."""


class Journals:
    """The journals of attempts and runs, one after the other, with one text in the state."""

    def __init__(self) -> None:
        self.text = ""
        self.notes: list[str] = []

    def open(self) -> UploadJournal:
        return UploadJournal(self.text, self._write, self._report)

    def _write(self, text: str) -> None:
        self.text = text

    def _report(self, level: str, message: str, values: Any) -> None:
        assert level
        self.notes.append(f"{message}: {values.get('reason', values.get('stored_parts', ''))}")


@pytest.fixture
def journals(monkeypatch: pytest.MonkeyPatch) -> Journals:
    monkeypatch.setattr(upload_journal, "WRITE_SECONDS", 0.0)
    return Journals()


@pytest.fixture(params=["relay", "relay ordered", "copy"])
def transfer(
    request: pytest.FixtureRequest, engine: Any, memory_aws: aws.Store, journals: Journals
) -> Callable[[], Outcome]:
    """Copies the object, between two roles or within S3."""
    ordered = request.param == "relay ordered"
    headers = {} if ordered else {"x-amz-checksum-crc32": compute_digest("CRC32", DATA)}
    memory_aws.put("source", "a", DATA, headers=headers)

    def run() -> Outcome:
        entry = memory_aws.objects["source", "a"]
        info = ObjectInfo("a", len(entry.body), entry.etag)
        item = Copy(SOURCE, TARGET, info, large=10, part=PART, journal=journals.open())
        if request.param == "copy":
            (outcome,) = engine.copy([item], Cancel())
        else:
            (outcome,) = engine.relay([item], engine, Cancel())
        assert isinstance(outcome, Outcome)
        return outcome

    return run


def refuse_part(store: aws.Store, *numbers: str) -> None:
    """Refuses parts, once others are there."""
    store.hook = lambda request: (
        aws.error(403, "AccessDenied") if request.query.get("partNumber") in numbers else None
    )


def refuse_completion(store: aws.Store) -> None:
    store.hook = lambda request: (
        aws.error(403, "AccessDenied")
        if request.method == "POST" and "uploadId" in request.query
        else None
    )


def sent_parts(store: aws.Store) -> list[str]:
    """Returns the numbers of the parts that were sent, and forgets the requests."""
    numbers = sorted(r.query["partNumber"] for r in store.requests if "partNumber" in r.query)
    store.requests.clear()
    store.hook = None
    return numbers


def test_a_second_run_sends_the_parts_that_are_missing(
    transfer: Callable[[], Outcome], memory_aws: aws.Store, journals: Journals
) -> None:
    refuse_part(memory_aws, "4")
    assert transfer().status == "failed"
    stored = {number for upload in memory_aws.uploads.values() for number in upload.parts}
    assert stored == {1, 2, 3}
    sent_parts(memory_aws)
    outcome = transfer()
    assert outcome.error is None
    assert sent_parts(memory_aws) == ["4"]
    assert memory_aws.bodies()["s3://target/b"] == DATA
    assert memory_aws.uploads == {}
    assert journals.notes == [
        "the parts of an interrupted upload are kept, for a resumed run to continue it: 3",
        "an interrupted upload continues: 3",
    ]
    assert journals.open().list_uploads() != []  # removed with the next write
    assert transfer().error is None  # which the object itself does not wait for


def test_a_part_that_somebody_else_has_sent_is_sent_again(
    transfer: Callable[[], Outcome], memory_aws: aws.Store
) -> None:
    refuse_completion(memory_aws)
    assert transfer().status == "failed"
    sent_parts(memory_aws)
    (upload,) = memory_aws.uploads.values()
    upload.parts[1], upload.parts[2] = b"x" * PART, b"cut"
    assert transfer().error is None
    assert sent_parts(memory_aws) == ["1", "2"]
    assert memory_aws.bodies()["s3://target/b"] == DATA


@pytest.mark.parametrize("change", ["source", "gone"])
def test_an_upload_begins_anew_and_says_why(
    transfer: Callable[[], Outcome], memory_aws: aws.Store, journals: Journals, change: str
) -> None:
    refuse_completion(memory_aws)
    assert transfer().status == "failed"
    sent_parts(memory_aws)
    data = DATA
    if change == "source":
        data = DATA[::-1]
        checksum = {"x-amz-checksum-crc32": compute_digest("CRC32", data)}
        memory_aws.put("source", "a", data, headers=checksum)
    else:
        memory_aws.uploads.clear()
    assert transfer().error is None
    assert sent_parts(memory_aws) == ["1", "2", "3", "4"]
    assert memory_aws.bodies()["s3://target/b"] == data
    assert memory_aws.uploads == {}
    reason = {"source": "the source has changed", "gone": "S3 no longer has the upload"}[change]
    assert journals.notes[-1] == f"an interrupted upload begins anew: {reason}"


def test_an_upload_that_was_completed_is_not_made_again(
    transfer: Callable[[], Outcome], memory_aws: aws.Store, journals: Journals
) -> None:
    first = transfer()
    assert journals.open().list_uploads() != []  # as if the run was killed at that moment
    sent_parts(memory_aws)
    second = transfer()
    assert (second.error, second.etag) == (None, first.etag)
    assert sent_parts(memory_aws) == []
    assert journals.notes == ["an earlier attempt has completed the upload: "]


@pytest.mark.parametrize("there", ["nothing", "another object"])
def test_an_upload_that_is_gone_and_became_another_object_begins_anew(
    transfer: Callable[[], Outcome], memory_aws: aws.Store, there: str
) -> None:
    transfer()
    sent_parts(memory_aws)
    memory_aws.objects.pop(("target", "b"))
    if there == "another object":
        memory_aws.put("target", "b", DATA[::-1])
    assert transfer().error is None
    assert sent_parts(memory_aws) == ["1", "2", "3", "4"]
    assert memory_aws.bodies()["s3://target/b"] == DATA


def test_a_role_that_may_neither_list_parts_nor_abort_begins_anew(
    transfer: Callable[[], Outcome], memory_aws: aws.Store, journals: Journals
) -> None:
    refuse_part(memory_aws, "4")
    transfer()
    sent_parts(memory_aws)
    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied")
        if "uploadId" in request.query and request.method in ("GET", "DELETE")
        else None
    )
    assert transfer().error is None
    assert "begins anew" in journals.notes[-1]
    assert "s3:ListMultipartUploadParts" in journals.notes[-1]
    assert sent_parts(memory_aws) == ["1", "2", "3", "4"]
    assert len(memory_aws.uploads) == 1  # which s3.cleanup finds


def test_an_upload_whose_parts_were_not_noted_continues(
    transfer: Callable[[], Outcome], memory_aws: aws.Store, journals: Journals
) -> None:
    refuse_part(memory_aws, "4")
    transfer()
    sent_parts(memory_aws)
    state = json.loads(journals.text)
    for upload in state["uploads"]:
        upload["parts"] = []
    journals.text = json.dumps(state)
    assert transfer().error is None
    assert journals.notes[-1] == "an interrupted upload continues: 3"
    # without their checksums, parts are sent again where the whole's is combined of them
    assert sent_parts(memory_aws) in (["4"], ["1", "2", "3", "4"])
    assert memory_aws.uploads == {}
    assert memory_aws.bodies()["s3://target/b"] == DATA


def test_nothing_is_kept_of_a_source_that_changes_on_the_way(
    transfer: Callable[[], Outcome],
    memory_aws: aws.Store,
    journals: Journals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rolerunner.storage.boto.retries.MAX_TRIES", 1)
    memory_aws.hook = lambda request: (
        aws.error(412, "PreconditionFailed")
        if "range" in request.headers or "x-amz-copy-source-range" in request.headers
        else None
    )
    assert transfer().status == "failed"
    assert memory_aws.uploads == {}
    assert journals.notes == []


def test_parts_outlive_failures_that_pass() -> None:
    assert is_usable_after(KeyboardInterrupt())
    assert is_usable_after(ServiceFailed("later", type="SlowDown"))
    assert not is_usable_after(IntegrityFailed("damaged"))
    assert not is_usable_after(ServiceFailed("changed", type="PreconditionFailed"))
