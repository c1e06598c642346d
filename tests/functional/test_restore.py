"""``s3.restore`` and what waits for it; the embedded AWS restores an object in two seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.archives import is_readable
from rolerunner.actions.builtin.s3_restore import RestoreRequest
from rolerunner.common.cancellation import Cancel
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.protocol import Copy, ObjectInfo
from tests import object_steps
from tests.fake_s3 import Request, Response, start_fake_s3
from tests.object_steps import HERE, run_step, run_steps, survey_step

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

WORLD = object_steps.WORLD
ENGINES = pytest.mark.parametrize("engine", ["fast", "boto3"])


def put(aws: Sandbox, folder: str) -> Any:
    client = aws.client("s3", HERE)
    for key, storage_class in (("a", "GLACIER"), ("b", "DEEP_ARCHIVE"), ("c", "STANDARD")):
        client.put_object(
            Bucket="ours", Key=f"{folder}/{key}", Body=b"123", StorageClass=storage_class
        )
    return client


@ENGINES
def test_a_restore_is_asked_for_once_and_waited_for(
    aws: Sandbox, tmp_path: Path, engine: str
) -> None:
    put(aws, engine)
    source = f"s3://ours/{engine}/"
    download = {"action": "s3.download", "source": f"{source}a", "target": f"{tmp_path}/a"}
    (early,) = run_steps(aws, tmp_path, download, engine=engine)
    assert early.error is not None
    assert early.error.type == "InvalidObjectState"
    assert "restore it first, by a step with s3.restore" in early.error.hint
    pending = run_step(
        aws, tmp_path, "s3.wait", source=source, restored=True, max_wait=0, engine=engine
    )
    assert pending.error is not None
    assert "2 objects not restored yet" in pending.error.message
    asked = run_step(aws, tmp_path, "s3.restore", source=source, days=2, engine=engine)
    assert asked.error is None
    assert [asked.outputs[name] for name in ("count", "bytes", "skipped")] == [2, 6, 1]
    again = run_step(aws, tmp_path, "s3.restore", source=source, engine=engine)
    assert again.error is None  # skipped, or extended if two seconds have passed
    waited, loaded = run_steps(
        aws,
        tmp_path,
        {"action": "s3.wait", "source": source, "restored": True, "interval": 0.3, "max_wait": 30},
        download,
        engine=engine,
    )
    assert (waited.error, loaded.error) == (None, None)
    assert waited.outputs["count"] == 3


def test_the_step_itself_can_wait(aws: Sandbox, tmp_path: Path) -> None:
    put(aws, "wait")
    late = run_step(
        aws, tmp_path, "s3.restore", source="s3://ours/wait/", wait=True, max_wait=0, interval=0.1
    )
    assert late.error is not None
    assert (late.error.type, late.error.message) == (
        "WaitTimeout",
        "2 objects of 3 not restored after 0 s",
    )
    done = run_step(
        aws, tmp_path, "s3.restore", source="s3://ours/wait/", wait=True, max_wait=30, interval=0.3
    )
    assert done.error is None
    copied = run_step(
        aws, tmp_path, "s3.copy", source="s3://ours/wait/", target="s3://ours/copied/"
    )
    assert (copied.error, copied.outputs["count"]) == (None, 3)


def test_a_copy_of_an_archived_object_says_restore_first(aws: Sandbox, tmp_path: Path) -> None:
    put(aws, "copy")
    copied = run_step(
        aws, tmp_path, "s3.copy", source="s3://ours/copy/a", target="s3://theirs/copied/",
        source_role="ours", target_role="theirs",
    )  # fmt: skip
    assert copied.error is not None
    assert "s3.restore" in copied.error.hint
    # the embedded AWS copies archived objects within S3, which S3 does not
    refusal = Response(b"<Error><Code>InvalidObjectState</Code></Error>", 403)
    with start_fake_s3(lambda _: refusal) as (client, _):
        item = Copy(S3Uri("one", "a"), S3Uri("two", "a"), ObjectInfo("a", 1, "etag"))
        (outcome,) = BotoEngine(client, JOB, lambda: "").copy([item], Cancel())
    assert outcome.error is not None
    assert "s3.restore" in outcome.error.hint


def test_names_and_the_survey(aws: Sandbox, tmp_path: Path) -> None:
    put(aws, "named")
    seen = survey_step(aws, tmp_path, "s3.restore", source="s3://ours/named/")
    assert seen == {"count": 3, "bytes": 9, "archived": 2, "archived_bytes": 6}
    named = run_step(
        aws,
        tmp_path,
        "s3.restore",
        objects=["s3://ours/named/a", "s3://ours/named/c", "s3://ours/named/none"],
        max_failures=1,
    )
    assert named.status == "warning"
    assert [named.outputs[name] for name in ("count", "skipped")] == [1, 1]
    (tmp_path / "keys.txt").write_text("named/b\nnamed/c\n")
    listed = run_step(
        aws,
        tmp_path,
        "s3.restore",
        objects={"from": str(tmp_path / "keys.txt"), "prefix": "s3://ours/"},
    )
    assert (listed.error, listed.outputs["count"]) == (None, 1)


def restore(storage_class: str, code: str = "") -> tuple[str, list[Request]]:
    error = f"<Error><Code>{code}</Code></Error>".encode()

    def respond(_: Request) -> Response:
        return Response(error, 409) if code else Response(status=202)

    with start_fake_s3(respond) as (client, requests):
        sender = BotoRequests(client, JOB, lambda: "")
        info = ObjectInfo("key", 1, version="v", storage_class=storage_class)
        outcome = RestoreRequest("Bulk", 3).send(sender, S3Uri("bucket", "key"), info, Cancel())
        return outcome.status, requests


def test_what_is_asked_of_s3() -> None:
    status, (request,) = restore("GLACIER")
    assert status == "done"
    assert request.query["versionId"] == ["v"]
    assert b"<Days>3</Days>" in request.body
    assert b"<Tier>Bulk</Tier>" in request.body
    status, (request,) = restore("INTELLIGENT_TIERING", "ObjectAlreadyInActiveTierError")
    assert status == "skipped"
    assert b"Days" not in request.body
    assert restore("DEEP_ARCHIVE", "RestoreAlreadyInProgress")[0] == "skipped"
    for storage_class in ("STANDARD", "GLACIER_IR"):
        assert restore(storage_class) == ("skipped", [])


@pytest.mark.parametrize(
    ("headers", "readable"),
    [
        ({}, True),
        ({"StorageClass": "GLACIER_IR"}, True),
        ({"StorageClass": "GLACIER"}, False),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'}, False),
        (
            {"StorageClass": "DEEP_ARCHIVE", "Restore": 'ongoing-request="false", expiry-date="x"'},
            True,
        ),
        ({"StorageClass": "INTELLIGENT_TIERING"}, True),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, False),
    ],
)
def test_which_objects_are_readable(headers: dict[str, str], readable: bool) -> None:
    assert is_readable(headers) is readable
