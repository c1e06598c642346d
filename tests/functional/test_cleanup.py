"""``s3.cleanup`` aborts old uploads alone, and none if it may not abort all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.unfinished_uploads import AbortRequest
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import ServiceFailed
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.unfinished_uploads import UploadLister
from rolerunner.storage.protocol import ObjectInfo
from tests import object_steps
from tests.fake_s3 import Request, Response, start_fake_s3
from tests.object_steps import HERE, run_step, survey_step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

WORLD = object_steps.WORLD
ENGINES = pytest.mark.parametrize("engine", ["fast", "boto3"])
KEYS = ["in/a", "in/b", "in/sub/c", "other/d"]


@pytest.fixture
def s3(aws: Sandbox) -> Iterator[Any]:
    """A bucket with an unfinished upload of 3 bytes for each key, and two for the first."""
    client = aws.client("s3", HERE)
    for key in (*KEYS, KEYS[0]):
        place = {"Bucket": "ours", "Key": key}
        upload = client.create_multipart_upload(**place)["UploadId"]
        client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"123")
    time.sleep(1.1)  # the time of a response has no fractions: ages are up to a second shorter
    yield client
    for each in client.list_multipart_uploads(Bucket="ours").get("Uploads", ()):
        client.abort_multipart_upload(Bucket="ours", Key=each["Key"], UploadId=each["UploadId"])


def unfinished(s3: Any) -> list[str]:
    uploads = s3.list_multipart_uploads(Bucket="ours").get("Uploads", ())
    return sorted(each["Key"] for each in uploads)


@ENGINES
def test_old_uploads_under_the_prefix_are_aborted(
    aws: Sandbox, s3: Any, tmp_path: Path, engine: str
) -> None:
    fields: dict[str, Any] = {"source": "s3://ours/in/", "max_delete": 10, "engine": engine}
    young = run_step(aws, tmp_path, "s3.cleanup", **fields)
    assert (young.status, young.outputs["count"]) == ("succeeded", 0)
    done = run_step(
        aws, tmp_path, "s3.cleanup", **fields, min_age=0.1, exclude=["sub/**"], measure=True
    )
    assert (done.outputs["count"], done.outputs["bytes"]) == (3, 9)
    assert unfinished(s3) == ["in/sub/c", "other/d"]


def test_one_key_and_a_whole_bucket(aws: Sandbox, s3: Any, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"max_delete": 10, "min_age": 0}
    one = run_step(aws, tmp_path, "s3.cleanup", source="s3://ours/in/a", **fields)
    assert (one.outputs["count"], one.outputs["bytes"]) == (2, 0)
    assert unfinished(s3) == KEYS[1:]
    run_step(aws, tmp_path, "s3.cleanup", source="s3://ours/", **fields)
    assert unfinished(s3) == []


def test_more_than_max_delete_aborts_none(aws: Sandbox, s3: Any, tmp_path: Path) -> None:
    failed = run_step(aws, tmp_path, "s3.cleanup", source="s3://ours/in/", min_age=0, max_delete=3)
    assert failed.error is not None
    assert failed.error.type == "MaxDelete"
    assert "4 unfinished uploads would be deleted, but 'max_delete' is 3" in failed.error.message
    assert len(unfinished(s3)) == 5


def test_the_survey_measures_and_aborts_nothing(aws: Sandbox, s3: Any, tmp_path: Path) -> None:
    seen = survey_step(
        aws, tmp_path, "s3.cleanup", source="s3://ours/", min_age=0, max_delete=3, measure=True
    )
    assert (seen["count"], seen["bytes"], seen["max_delete"]) == (5, 15, 3)
    assert seen["oldest"].endswith("Z")
    assert len(unfinished(s3)) == 5


def test_nothing_to_clean_can_be_an_error(aws: Sandbox, tmp_path: Path) -> None:
    done = run_step(
        aws, tmp_path, "s3.cleanup", source="s3://ours/none/", max_delete=1, on_empty="error"
    )
    assert done.error is not None
    assert done.error.type == "EmptySource"


def part_page(*sizes: int, truncated: str, following: int) -> bytes:
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><Size>{size}</Size></Part>"
        for number, size in enumerate(sizes, 1)
    )
    return (
        f"<ListPartsResult>{parts}<IsTruncated>{truncated}</IsTruncated>"
        f"<NextPartNumberMarker>{following}</NextPartNumberMarker></ListPartsResult>"
    ).encode()


def send_abort(respond: Any) -> Any:
    with start_fake_s3(respond) as (client, _):
        requests = BotoRequests(client, JOB, lambda: "")
        info = ObjectInfo("key", 0, version="upload")
        return AbortRequest(measure=True).send(requests, S3Uri("bucket", "key"), info, Cancel())


def test_an_upload_completed_meanwhile_is_skipped() -> None:
    gone = Response(b"<Error><Code>NoSuchUpload</Code></Error>", 404)
    assert send_abort(lambda _: gone).status == "skipped"

    def respond(request: Request) -> Response:
        page = part_page(1, truncated="false", following=0)
        return gone if request.operation.startswith("DELETE") else Response(page)

    assert send_abort(respond).status == "skipped"


def test_parts_are_added_up_over_pages_that_end() -> None:
    pages = iter(
        [
            part_page(5, 7, truncated="true", following=2),
            part_page(1, truncated="false", following=0),
        ]
    )

    def respond(request: Request) -> Response:
        is_abort = request.operation.startswith("DELETE")
        return Response(status=204) if is_abort else Response(next(pages))

    assert send_abort(respond).size == 13
    endless = Response(part_page(5, truncated="true", following=1))
    with pytest.raises(ServiceFailed, match="does not end"):
        send_abort(lambda _: endless)


def test_the_page_of_a_proxy_is_not_an_empty_listing() -> None:
    page = Response(b"<html><body>sign in</body></html>", 200)
    with start_fake_s3(lambda _: page) as (client, _):
        lister = UploadLister(BotoRequests(client, JOB, lambda: ""))
        with pytest.raises(ServiceFailed, match="not a listing of uploads"):
            list(lister.list(S3Uri("bucket", "a/"), Cancel()))
