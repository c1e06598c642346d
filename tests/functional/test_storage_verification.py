"""The engines verify what S3 returns; nothing unverified gets a final name."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import pytest
from botocore.credentials import Credentials

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed, StepError, UnexpectedResponse
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import Access, Copy, Get, ObjectInfo, Put
from rolerunner.storage.tuning import Tuning
from tests.fake_s3 import Request, Response, start_fake_s3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = S3Uri("bucket", "key")
TO = S3Uri("bucket", "to")
WHEN = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}


@pytest.fixture(params=["boto3", "fast"])
def storage(request: pytest.FixtureRequest) -> Any:
    def open_engine(client: Any, tuning: Tuning | None = None, **access: Any) -> Any:
        tuning = tuning or Tuning()
        engine = BotoEngine(client, JOB, lambda: "", Access(**access), tuning=tuning)
        if request.param == "boto3":
            return engine
        return open_native_engine(engine, Credentials("k", "s"))

    return open_engine


def crc(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def respond_with_object(data: bytes, **headers: str) -> Response:
    return Response(data, headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"', **WHEN, **headers})


def test_a_damaged_body_is_fetched_again_and_never_kept(tmp_path: Path, storage: Any) -> None:
    bodies = iter([b"damaged", b"correct"])
    crc32 = {"x-amz-checksum-crc32": crc(b"correct")}
    with start_fake_s3(
        lambda request: (
            respond_with_object(b"correct", **crc32)
            if request.operation == "HEAD"
            else respond_with_object(next(bodies), **crc32)
        )
    ) as (client, _):
        (outcome,) = storage(client).get([Get(KEY, tmp_path / "f", ObjectInfo("key", 7))], Cancel())
    assert (outcome.error, (tmp_path / "f").read_bytes()) == (None, b"correct")
    with start_fake_s3(
        lambda request: respond_with_object(b"damaged", **{"x-amz-checksum-crc32": crc(b"correct")})
    ) as (
        client,
        _,
    ):
        (outcome,) = storage(client).get([Get(KEY, tmp_path / "g", ObjectInfo("key", 7))], Cancel())
    assert outcome.error is not None
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
def test_other_checksums_are_proved_too(algorithm: str, tmp_path: Path, storage: Any) -> None:
    good = hashlib.new(algorithm, b"correct")
    said = (
        {f"x-amz-checksum-{algorithm}": base64.b64encode(good.digest()).decode()}
        if algorithm != "md5"
        else {"ETag": f'"{good.hexdigest()}"'}
    )
    with start_fake_s3(
        lambda request: Response(b"damaged", headers={"ETag": '"x"', **WHEN, **said})
    ) as (
        client,
        _,
    ):
        (outcome,) = storage(client).get([Get(KEY, tmp_path / "f", ObjectInfo("key", 7))], Cancel())
    assert outcome.error is not None
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_no_xml_is_a_failure(storage: Any) -> None:
    with (
        start_fake_s3(
            lambda request: Response(b"<?xml version='1.0'?><ListBucketResult><Contents>", 200)
        ) as (client, _),
        pytest.raises(StepError, match=r"cannot be (read|parsed)|Internal Server Error"),
    ):
        list(storage(client).list(KEY))


def test_a_body_cut_short_is_not_kept(tmp_path: Path, storage: Any) -> None:
    with start_fake_s3(
        lambda request: Response(b"short", headers={"ETag": '"x"', **WHEN}, length=10)
    ) as (
        client,
        _,
    ):
        (outcome,) = storage(client).get(
            [Get(KEY, tmp_path / "f", ObjectInfo("key", 10))], Cancel()
        )
    assert outcome.error is not None
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_changes_between_ranges_starts_again(tmp_path: Path, storage: Any) -> None:
    content = {"old": b"oldoldoldold", "new": b"newnewnewnew"}
    ranges = 0

    def respond(request: Request) -> Response:
        nonlocal ranges
        now = "old" if ranges < 2 else "new"
        head = {"ETag": f'"{now}"', **WHEN, "x-amz-checksum-crc32": crc(content[now])}
        if request.operation == "HEAD":
            return Response(headers={**head, "Content-Length": "12"})
        ranges += 1
        if request.headers["if-match"] != f'"{now}"':
            return Response(b"<Error><Code>PreconditionFailed</Code></Error>", 412)
        start, end = map(int, request.headers["range"][6:].split("-"))
        return Response(content[now][start : end + 1], 206, {"ETag": f'"{now}"', **WHEN})

    with start_fake_s3(respond) as (client, _):
        (outcome,) = storage(client, Tuning(large=8, part=4)).get(
            [Get(KEY, tmp_path / "f", ObjectInfo("key", 12, "old"))], Cancel()
        )
    assert (outcome.error, (tmp_path / "f").read_bytes()) == (None, b"newnewnewnew")


@pytest.mark.parametrize(
    "text",
    [
        (
            b"<Error><Code>InternalError</Code><Message>We encountered an internal "
            b"error.</Message></Error>"
        ),
        b"",
        b"<CopyObjectResult/>",
    ],
)
def test_a_copy_that_is_200_with_an_error_inside_is_a_failure(text: bytes, storage: Any) -> None:
    with start_fake_s3(lambda request: Response(text)) as (client, _):
        (outcome,) = storage(client).copy([Copy(KEY, TO, ObjectInfo("key", 1, "e"))], Cancel())
    assert outcome.error is not None


def test_errors_of_single_keys_of_a_batch_are_failures(storage: Any) -> None:
    text = (
        b"<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key>"
        b"<Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    )
    with start_fake_s3(lambda request: Response(text)) as (client, requests):
        outcomes = list(
            storage(client).delete([ObjectInfo("a", 1), ObjectInfo("b", 2)], "bucket", Cancel())
        )
    assert [(each.uri.key, each.error and each.error.type) for each in outcomes] == [
        ("a", None),
        ("b", "AccessDenied"),
    ]
    assert len(requests) == 1


def test_a_copy_in_parts_carries_tags_and_metadata_over(storage: Any) -> None:
    def respond(request: Request) -> Response:
        if request.operation == "HEAD":
            return Response(
                headers={
                    "Content-Length": "25",
                    "ETag": '"e"',
                    **WHEN,
                    "x-amz-meta-m": "1",
                    "Content-Type": "text/x",
                }
            )
        if request.operation == "GET [tagging]":
            return Response(
                b"<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>"
            )
        if request.operation == "POST [uploads]":
            return Response(
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                b"</InitiateMultipartUploadResult>"
            )
        if request.operation == "PUT [uploadId]":
            return Response(b"<CopyPartResult><ETag>p</ETag></CopyPartResult>")
        return Response(
            b"<CompleteMultipartUploadResult><ETag>done</ETag></CompleteMultipartUploadResult>"
        )

    with start_fake_s3(respond) as (client, requests):
        (outcome,) = storage(client).copy(
            [Copy(KEY, TO, ObjectInfo("key", 25, "e"), large=20, part=1 << 20)], Cancel()
        )
    assert (outcome.error, outcome.etag) == (None, "done")
    begun = next(each for each in requests if each.operation == "POST [uploads]").headers
    assert (begun["x-amz-tagging"], begun["x-amz-meta-m"], begun["content-type"]) == (
        "a=b%20c",
        "1",
        "text/x",
    )
    part = next(each for each in requests if each.operation == "PUT [uploadId]").headers
    assert (part["x-amz-copy-source-range"], part["x-amz-copy-source-if-match"]) == (
        "bytes=0-24",
        '"e"',
    )


def test_a_relay_does_not_store_what_is_not_proved(storage: Any) -> None:
    def source(request: Request) -> Response:
        head = {"ETag": f'"{hashlib.md5(b"correct").hexdigest()}"', **WHEN}
        return (
            Response(headers={**head, "Content-Length": "7"})
            if request.operation == "HEAD"
            else Response(
                b"<Tagging><TagSet/></Tagging>"
                if request.operation == "GET [tagging]"
                else b"damaged",
                headers=head,
            )
        )

    with (
        start_fake_s3(source) as (reader, _),
        start_fake_s3(lambda request: Response(headers={"ETag": '"x"'})) as (writer, written),
    ):
        (outcome,) = storage(writer).relay(
            [Copy(KEY, TO, ObjectInfo("key", 7, "e"))], storage(reader), Cancel()
        )
    assert outcome.error is not None
    assert outcome.error.type == "IntegrityFailed"
    assert written == []


def test_a_failed_upload_in_parts_is_aborted(tmp_path: Path, storage: Any) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    def respond(request: Request) -> Response:
        if request.operation == "POST [uploads]":
            return Response(
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                b"</InitiateMultipartUploadResult>"
            )
        return (
            Response(b"<Error><Code>AccessDenied</Code></Error>", 403)
            if request.operation == "PUT [uploadId]"
            else Response(status=204)
        )

    with start_fake_s3(respond) as (client, requests):
        (outcome,) = storage(client, Tuning(large=8)).put([Put(tmp_path / "f", KEY)], Cancel())
    assert outcome.error is not None
    assert outcome.error.type == "AccessDenied"
    assert requests[-1].operation == "DELETE [uploadId]"


def test_a_file_that_changes_while_it_is_read_is_not_stored(tmp_path: Path, storage: Any) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"before")

    def changing() -> bool:
        path.write_bytes(b"after!!")
        return False

    with start_fake_s3(lambda request: Response(headers={"ETag": '"x"'})) as (client, requests):
        (outcome,) = storage(client).put([Put(path, KEY, skip=changing)], Cancel())
    assert outcome.error is not None
    assert outcome.error.type == "FileChanged"
    assert requests == []


def test_an_archived_object_says_restore_first(tmp_path: Path, storage: Any) -> None:
    text = (
        b"<Error><Code>InvalidObjectState</Code>"
        b"<Message>The operation is not valid for the object's storage class</Message></Error>"
    )
    with start_fake_s3(lambda request: Response(text, 403)) as (client, _):
        (outcome,) = storage(client).get([Get(KEY, tmp_path / "f", ObjectInfo("key", 7))], Cancel())
    assert outcome.error is not None
    assert (outcome.error.type, "restore it first" in outcome.error.hint) == (
        "InvalidObjectState",
        True,
    )


def test_requests_say_who_pays_and_who_must_own_the_bucket(tmp_path: Path, storage: Any) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    with start_fake_s3(lambda request: respond_with_object(b"x")) as (client, requests):
        list(
            storage(client, request_payer=True, bucket_owner="111122223333").get(
                [Get(KEY, tmp_path / "f", ObjectInfo("key", 1))], Cancel()
            )
        )
        list(
            storage(client, customer_key=key).get(
                [Get(KEY, tmp_path / "g", ObjectInfo("key", 1))], Cancel()
            )
        )
    assert (
        requests[0].headers["x-amz-request-payer"],
        requests[0].headers["x-amz-expected-bucket-owner"],
    ) == ("requester", "111122223333")
    assert requests[1].headers["x-amz-server-side-encryption-customer-key"] == key


def test_cancelled_work_begins_nothing_more(tmp_path: Path, storage: Any) -> None:
    cancel = Cancel()
    cancel.set()
    with (
        start_fake_s3(lambda request: respond_with_object(b"x")) as (client, requests),
        pytest.raises(Exception, match="stopped"),
    ):
        list(storage(client).get([Get(KEY, tmp_path / "f", ObjectInfo("key", 1))], cancel))
    assert requests == []


@pytest.mark.parametrize(
    ("bucket", "host"),
    [
        (
            "arn:aws:s3:eu-west-1:111122223333:accesspoint/landing",
            "landing-111122223333.s3-accesspoint.eu-west-1.amazonaws.com",
        ),
        ("plain-bucket", "plain-bucket.s3.eu-west-1.amazonaws.com"),
    ],
)
def test_access_points_are_reached_by_their_arn(bucket: str, host: str, storage: Any) -> None:
    client, sent = make_stub_client(
        "eu-west-1", lambda url: ({"Content-Length": "3", "ETag": '"e"'}, b"")
    )
    assert storage(client).head(S3Uri.parse(f"s3://{bucket}/in/a.txt")).size == 3
    assert sent == [f"https://{host}/in/a.txt"]


def make_stub_client(
    region: str, respond: Callable[[str], tuple[dict[str, str], bytes]]
) -> tuple[Any, list[str]]:
    """A client whose requests are answered before they leave, and their URLs."""
    import boto3
    from botocore.awsrequest import AWSResponse

    sent: list[str] = []

    class Raw:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def stream(self) -> Any:
            return iter([self.body])

    def send(request: Any, **_: Any) -> AWSResponse:
        sent.append(request.url)
        headers, body = respond(request.url)
        return AWSResponse(request.url, 200, headers, Raw(body))

    client = boto3.client("s3", region, aws_access_key_id="k", aws_secret_access_key="s")
    client.meta.events.register("before-send.s3", send)
    return client, sent


def test_a_directory_bucket_is_listed_in_order_and_its_etags_prove_nothing(storage: Any) -> None:
    """Directory buckets have sessions, no order, no tags, and ETags that are no MD5 (S3 guide)."""
    etag = hashlib.md5(b"not of this object").hexdigest()
    session = (
        "<CreateSessionResult><Credentials><SessionToken>t</SessionToken>"
        "<SecretAccessKey>s</SecretAccessKey><AccessKeyId>k</AccessKeyId>"
        "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>"
    )
    one = (
        "<Contents><Key>in/{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        "<ETag>e</ETag><Size>3</Size></Contents>"
    )
    contents = "".join(map(one.format, "cab"))
    page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"

    def respond(url: str) -> tuple[dict[str, str], bytes]:
        if "session" in url:
            return {}, session.encode()
        return (
            ({}, page.encode())
            if "list-type" in url
            else (
                {"Content-Length": "3", "ETag": etag, "x-amz-storage-class": "EXPRESS_ONEZONE"},
                b"",
            )
        )

    client, sent = make_stub_client("us-west-2", respond)
    open_engine = storage(client)
    prefix = S3Uri.parse(
        "s3://arn:aws:s3express:us-west-2:111122223333:bucket/fast--usw2-az1--x-s3/in/"
    )
    assert [info.key for info in open_engine.list(prefix)] == ["in/a", "in/b", "in/c"]
    info, kept = open_engine.describe(prefix.join("a"), "", tags=True)
    assert (info.checksum, kept) == ("", {})
    assert {urlparse(url).hostname for url in sent} == {
        "fast--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com"
    }


@pytest.mark.parametrize("sent", [b"correct", b"damaged", b"correc", b"correct!"])
@pytest.mark.parametrize("is_range", [False, True])
def test_small_reads_and_ranges_of_whole_objects_are_verified(
    sent: bytes, is_range: bool, storage: Any
) -> None:
    info = ObjectInfo("key", 7, hashlib.md5(b"correct").hexdigest())
    response = Response(sent, headers={"ETag": f'"{info.etag}"', **WHEN})
    with start_fake_s3(lambda request: response) as (client, _):
        engine = storage(client)

        def read() -> bytes:
            whole = ObjectRange(KEY, info, 0, info.size)
            return bytes(engine.read_range(whole) if is_range else engine.read(KEY, 100))

        if sent == b"correct":
            assert read() == sent
        else:
            with pytest.raises(IntegrityFailed):
                read()


def test_a_page_of_a_proxy_is_no_small_object(storage: Any) -> None:
    with (
        start_fake_s3(lambda request: Response(b"<p>sign in</p>", headers={})) as (client, _),
        pytest.raises(UnexpectedResponse, match="s3://bucket/key: S3 returned 200 without an ETag"),
    ):
        storage(client).read(KEY, 100)
