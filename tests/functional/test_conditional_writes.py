"""Conditional writes, conflicts and repeated requests as S3 documents them, in both engines."""

from __future__ import annotations

import collections
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.sessions import clients
from rolerunner.storage.http import tasks as lane_steps
from tests.memory_aws import DROP, LOSE, Response, error, xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Request, Store

ROLES = {
    "reader": "arn:aws:iam::444455556666:role/reader",
    "writer": "arn:aws:iam::444455556666:role/writer",
}
LARGE = 17 << 20
UPLOAD = (
    "s3.upload",
    {"role": "writer", "source": "a", "target": "s3://publish/q/a", "if_exists": "fail"},
)
RELAY = (
    "s3.copy",
    {
        "source_role": "reader",
        "target_role": "writer",
        "source": "s3://landing/q/a",
        "target": "s3://publish/q/a",
        "if_exists": "fail",
    },
)
COPY = ("s3.copy", {**RELAY[1], "source_role": "writer"})
WRITE = (
    "s3.write",
    {"role": "writer", "target": "s3://publish/q/a", "text": "x" * 9, "if_none_match": True},
)
SINGLE = {"upload": UPLOAD, "relay": RELAY, "copy": COPY, "write": WRITE}
PARTS = {
    "upload": UPLOAD,
    "relay": RELAY,
    "copy": ("s3.copy", {**COPY[1], "multipart_above": "5MiB", "part_size": "5MiB"}),
}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_steps, "_BASE", 0.01)
    monkeypatch.setattr(clients, "MAX_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(
        "botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01
    )


@pytest.fixture(params=["fast", "boto3"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(
    engine: str, memory_aws: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs one step; the source has so many bytes, as a file and as an object."""
    monkeypatch.chdir(tmp_path)

    def run_step(step: tuple[str, dict[str, Any]], size: int = 9, **more: Any) -> Any:
        memory_aws.put("landing", "q/a", b"x" * size)
        (tmp_path / "a").write_bytes(b"x" * size)
        spec = {
            "version": 1,
            "name": "t",
            "engine": engine,
            "roles": ROLES,
            "steps": [{"id": "it", "action": step[0], **step[1], **more}],
        }
        (tmp_path / "job.yaml").write_text(json.dumps(spec))
        return api.run(api.load(tmp_path / "job.yaml")).steps[0]

    return run_step


def is_write(request: Request) -> bool:
    return (
        request.service == "s3"
        and request.method == "PUT"
        and request.bucket == "publish"
        and "partNumber" not in request.query
    )


def is_end(request: Request) -> bool:
    return request.method == "POST" and request.bucket == "publish" and "uploadId" in request.query


def decide_first(matches: Callable[[Request], bool], *outcomes: Any) -> Callable[[Request], Any]:
    """A hook that decides on the first matching requests."""
    left = list(outcomes)
    return lambda request: left.pop(0) if left and matches(request) else None


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("times", [1, 2])
def test_a_repeated_conditional_write_finds_its_own_object(
    name: str, times: int, run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = decide_first(is_write, *[LOSE] * times)
    step = run(SINGLE[name])
    assert step.error is None, step.error
    assert memory_aws.bodies()["s3://publish/q/a"] == b"x" * 9


@pytest.mark.parametrize("name", PARTS)
def test_a_repeated_conditional_completion_finds_its_own_object(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = decide_first(is_end, LOSE)
    step = run(PARTS[name], LARGE)
    assert step.error is None, step.error
    assert len(memory_aws.bodies()["s3://publish/q/a"]) == LARGE
    assert not memory_aws.uploads


@pytest.mark.parametrize("name", SINGLE)
def test_another_object_is_not_taken_for_its_own(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    def hook(request: Request) -> Any:
        if is_write(request) and not memory_aws.bodies().get("s3://publish/q/a"):
            memory_aws.put(
                "publish", "q/a", b"y" * 9
            )  # somebody else is first, and our request is lost
            return DROP
        return None

    memory_aws.hook = hook
    step = run(SINGLE[name])
    assert step.error.type == "AlreadyThere"
    assert memory_aws.bodies()["s3://publish/q/a"] == b"y" * 9


@pytest.mark.parametrize("name", SINGLE)
def test_an_equal_object_from_before_is_there_already(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.put("publish", "q/a", b"x" * 9)
    step = run(SINGLE[name])
    assert step.error.type == "AlreadyThere", "no request of ours was lost"


@pytest.mark.parametrize("name", SINGLE)
def test_a_role_that_may_not_look_is_told_that_it_is_there(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    lost = decide_first(is_write, LOSE)

    def hook(request: Request) -> Any:
        if (
            request.bucket == "publish"
            and request.method in ("HEAD", "GET")
            and memory_aws.roles_of_keys.get(request.access_key, "").endswith("writer")
        ):
            return error(403, "AccessDenied")
        return lost(request)

    memory_aws.hook = hook
    assert run(SINGLE[name]).error.type == "AlreadyThere"


def test_a_retried_step_finds_what_its_first_try_stored(
    run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = decide_first(
        is_write, *[LOSE] * 15
    )  # all tries of all requests of the step's first try
    step = run(UPLOAD, retry={"attempts": 3, "delay": "0.01s"})
    assert step.error is None, step.error


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
@pytest.mark.parametrize("name", SINGLE)
def test_a_conflict_is_tried_again(
    name: str, code: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = decide_first(is_write, error(409, code), error(409, code))
    assert run(SINGLE[name]).error is None
    assert memory_aws.bodies()["s3://publish/q/a"] == b"x" * 9


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
@pytest.mark.parametrize("name", PARTS)
def test_a_conflict_at_the_end_begins_the_upload_again(
    name: str, code: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = decide_first(is_end, error(409, code))
    assert run(PARTS[name], LARGE).error is None
    begun = [each for each in memory_aws.requests_of("POST", "publish") if "uploads" in each.query]
    assert len(begun) == (2 if code == "ConditionalRequestConflict" else 1)


def test_a_conflict_that_lasts_is_a_failure_with_its_name(
    run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = lambda request: (
        error(409, "ConditionalRequestConflict") if is_write(request) else None
    )
    assert run(WRITE).error.type == "ConditionalRequestConflict"


def test_another_conflict_stays(run: Callable[..., Any], memory_aws: Store) -> None:
    memory_aws.hook = lambda request: (
        error(409, "BucketAlreadyExists") if is_write(request) else None
    )
    assert run(WRITE).error.type == "BucketAlreadyExists"
    assert len(memory_aws.requests_of("PUT")) == 1


PASSING = [
    (429, "TooManyRequests"),
    (429, "Whatever"),
    (503, "SlowDown"),
    (503, "ServiceUnavailable"),
    (500, "InternalError"),
    (400, "RequestTimeout"),
    (502, "BadGateway"),
    (504, "GatewayTimeout"),
]


@pytest.mark.parametrize(("status", "code"), PASSING)
@pytest.mark.parametrize("name", ["upload", "relay", "copy", "write"])
def test_what_passes_is_tried_again(
    name: str, status: int, code: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = decide_first(is_write, error(status, code))
    assert run(SINGLE[name]).error is None
    assert len([each for each in memory_aws.requests_of("PUT", "publish") if is_write(each)]) == 2


@pytest.mark.parametrize(("status", "code"), PASSING)
def test_listings_and_reads_are_tried_again(
    status: int, code: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    counts: dict[str, int] = collections.Counter()

    def hook(request: Request) -> Any:
        name = f"{request.method} {request.key}"
        counts[name] += request.bucket == "landing"
        if request.bucket == "landing" and counts[name] == 1:
            return Response(status) if request.method == "HEAD" else error(status, code)
        return None

    memory_aws.hook = hook
    assert (
        run(
            ("s3.download", {"role": "reader", "source": "s3://landing/q/", "target": "out/"})
        ).error
        is None
    )
    assert counts["GET "] >= 2
    assert counts["GET q/a"] == 2


@pytest.mark.parametrize("name", PARTS)
def test_an_upload_that_is_gone_begins_again(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    def hook(request: Request) -> Any:
        if is_end(request) and len(aborted) < 1:
            aborted.append(request.query["uploadId"])
            memory_aws.uploads.pop(request.query["uploadId"])
        return None

    aborted: list[str] = []
    memory_aws.hook = hook
    step = run(PARTS[name], LARGE)
    assert step.error is None, step.error
    assert len(memory_aws.bodies()["s3://publish/q/a"]) == LARGE


@pytest.mark.parametrize("name", PARTS)
def test_an_upload_that_is_gone_before_its_parts_begins_again(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    def hook(request: Request) -> Any:
        if request.bucket == "publish" and request.query.get("partNumber") == "2" and not gone:
            gone.append(request.query["uploadId"])
            memory_aws.uploads.pop(request.query["uploadId"])
        return None

    gone: list[str] = []
    memory_aws.hook = hook
    step = run(PARTS[name], LARGE)
    assert (step.error, len(gone)) == (None, 1)
    assert len(memory_aws.bodies()["s3://publish/q/a"]) == LARGE
    assert not memory_aws.uploads


def test_an_older_object_is_not_taken_for_the_upload_that_is_gone(
    run: Callable[..., Any], memory_aws: Store
) -> None:
    old = memory_aws.put("publish", "q/a", b"old", etag="0" * 32 + "-2")
    memory_aws.hook = lambda request: error(404, "NoSuchUpload") if is_end(request) else None
    step = run((UPLOAD[0], {**UPLOAD[1], "if_exists": "overwrite"}), LARGE)
    assert step.error.type == "NoSuchUpload"
    assert "lifecycle rule" in step.error.hint
    assert memory_aws.objects["publish", "q/a"] is old


@pytest.mark.parametrize("name", PARTS)
def test_an_upload_that_cannot_be_aborted_is_named(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    def hook(request: Request) -> Any:
        refused = is_end(request) or (request.method == "DELETE" and "uploadId" in request.query)
        return error(403, "AccessDenied", "Access Denied") if refused else None

    memory_aws.hook = hook
    failed = run(PARTS[name], LARGE).error
    (upload,) = memory_aws.uploads
    assert failed.type == "AccessDenied"
    assert f"--bucket publish --key 'q/a' --upload-id '{upload}'" in failed.hint
    assert "s3:AbortMultipartUpload" in failed.hint


@pytest.mark.parametrize("name", PARTS)
def test_an_etag_that_completion_leaves_out_is_looked_up(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    def hook(request: Request) -> Any:
        if not is_end(request):
            return None
        memory_aws.respond(request)
        return xml(
            "<CompleteMultipartUploadResult><Bucket>publish</Bucket><Key>q/a</Key><ETag>"
            "</ETag></CompleteMultipartUploadResult>"
        )

    memory_aws.hook = hook
    assert run(PARTS[name], LARGE).error is None


def test_a_completion_without_an_etag_of_another_object_is_no_success(
    run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.put("publish", "q/a", b"old", etag="0" * 32 + "-2")
    empty = xml(
        "<CompleteMultipartUploadResult><Bucket>publish</Bucket><Key>q/a</Key><ETag></ETag>"
        "</CompleteMultipartUploadResult>"
    )
    memory_aws.hook = lambda request: empty if is_end(request) else None
    assert run((UPLOAD[0], {**UPLOAD[1], "if_exists": "overwrite"}), LARGE).error is not None


@pytest.mark.parametrize(
    "step",
    [("s3.download", {"role": "reader", "source": "s3://landing/q/", "target": "out/"}), RELAY],
)
def test_if_match_refused_for_an_unchanged_object_is_said(
    step: Any, run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = lambda request: (
        error(412, "PreconditionFailed")
        if request.method == "GET" and "if-match" in request.headers
        else None
    )
    failed = run(step, LARGE).error
    assert failed.type == "IfMatchRefused"
    assert "s3://landing/q/a" in failed.message
    assert "does not support If-Match" in failed.hint


def test_a_copys_condition_refused_for_an_unchanged_source_is_said(
    run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = lambda request: (
        error(412, "PreconditionFailed")
        if "x-amz-copy-source-if-match" in request.headers
        else None
    )
    failed = run((COPY[0], {**COPY[1], "if_exists": "overwrite"})).error
    assert (failed.type, "s3://landing/q/a" in failed.message) == ("IfMatchRefused", True)


def test_a_server_that_compares_etags_without_quotes_is_given_them_so(
    run: Callable[..., Any], memory_aws: Store
) -> None:
    memory_aws.hook = lambda request: (
        error(412, "PreconditionFailed")
        if request.headers.get("if-match", "").startswith('"')
        else None
    )
    etag = memory_aws.put("publish", "q/a", b"old").etag
    step = (
        "s3.write",
        {"role": "writer", "target": "s3://publish/q/a", "text": "new", "if_match": etag},
    )
    assert run(step).error is None
    assert memory_aws.bodies()["s3://publish/q/a"] == b"new"
    memory_aws.hook = lambda request: (
        error(412, "PreconditionFailed") if "if-match" in request.headers else None
    )
    etag = memory_aws.objects["publish", "q/a"].etag
    assert run((step[0], {**step[1], "if_match": etag})).error.type == "IfMatchRefused"
    assert run((step[0], {**step[1], "if_match": "0" * 32})).error.type == "AlreadyThere"


def test_an_unequal_copy_of_what_was_read_is_no_own_object() -> None:
    from rolerunner.model import S3Uri as Uri
    from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Put, prepare_retry

    info = ObjectInfo("k", 1, "e")
    put, copy, get = (
        Put("f", Uri("b", "k")),
        Copy(Uri("b", "k"), Uri("b", "l"), info),
        Get(Uri("b", "k"), "f", info),
    )
    assert (
        prepare_retry(put).repeated,
        prepare_retry(copy).repeated,
        prepare_retry(copy).info,
        prepare_retry(get).info,
    ) == (
        True,
        True,
        None,
        None,
    )
    kept = replace(info, version="v")
    assert prepare_retry(replace(copy, info=kept)).info is kept
