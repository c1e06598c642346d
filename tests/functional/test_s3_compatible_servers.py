"""S3-compatible servers: refused trailers, STS error formats, pacing, process secrets."""

from __future__ import annotations

import base64
import json
import socket
import time
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials

from rolerunner import api
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RoleRefused, ServiceFailed, StepError
from rolerunner.model import JOB, Role, S3Uri
from rolerunner.redaction.secrets import register_credential
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.registry import Sessions
from rolerunner.storage import payloads
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, Copy, Get, ObjectInfo, Put
from rolerunner.storage.tuning import MIB, Tuning
from rolerunner.storage.workers.distributed_tasks import pickle_tasks
from tests.memory_aws import Response, error, xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.model import StepResult
    from tests.memory_aws import Request, Store

ROLES = {
    "reader": "arn:aws:iam::444455556666:role/reader",
    "writer": "arn:aws:iam::444455556666:role/writer",
}
STREAMING = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CUSTOMER_KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(params=["fast", "boto3"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_engine(engine: str, memory_aws: Store) -> Callable[..., Any]:
    def storage(tuning: Tuning | None = None, flow: Pacer | None = None) -> Any:
        client = boto3.client(
            "s3",
            "eu-west-1",
            endpoint_url=memory_aws.url,
            config=Config(s3={"addressing_style": "path"}),
        )
        pacer, tuning = flow or Pacer(), tuning or Tuning()
        boto_engine = BotoEngine(client, JOB, lambda: "", pacer=pacer, tuning=tuning)
        if engine == "boto3":
            return boto_engine
        return open_native_engine(boto_engine, Credentials("k", "s"))

    return storage


# trailers


@pytest.mark.parametrize("code", ["NotImplemented", "InvalidArgument", "XAmzContentSHA256Mismatch"])
def test_a_relay_in_blocks_is_sent_again_with_checksums_in_headers(
    code: str, memory_aws: Store
) -> None:
    def hook(request: Request) -> Any:
        return (
            error(501, code) if request.headers.get("x-amz-content-sha256") == STREAMING else None
        )

    memory_aws.hook = hook
    client = boto3.client(
        "s3",
        "eu-west-1",
        endpoint_url=memory_aws.url,
        config=Config(s3={"addressing_style": "path"}),
    )
    tuning = Tuning(memory=12 * MIB, large=5 * MIB, part=5 * MIB, parts_at_once=2)
    storage = open_native_engine(
        BotoEngine(client, JOB, lambda: "", tuning=tuning), Credentials("k", "s")
    )
    data = bytes(range(256)) * (11 * MIB // 256)
    for key in ("a", "b"):
        memory_aws.put("landing", key, data)
        (outcome,) = storage.relay(
            [Copy(S3Uri("landing", key), S3Uri("publish", key))], storage, Cancel()
        )
        assert outcome.error is None, outcome.error
        assert memory_aws.bodies()[f"s3://publish/{key}"] == data
    refused = [
        each.key
        for each in memory_aws.requests_of("PUT")
        if each.headers.get("x-amz-content-sha256") == STREAMING
    ]
    assert "b" not in refused, "once for each client"
    assert not memory_aws.uploads


def test_boto3s_trailers_over_tls_are_given_up_once_for_each_client() -> None:
    client = boto3.client(
        "s3",
        "eu-west-1",
        endpoint_url="https://s3.example.com",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    sent: list[dict[str, str]] = []

    def respond(request: Any, **_: Any) -> AWSResponse:
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        sent.append(headers)
        trailing = headers.get("x-amz-content-sha256") == STREAMING
        body = b"<Error><Code>NotImplemented</Code></Error>" if trailing else b""
        raw = BytesIO(body)
        raw.stream = lambda **_: iter([raw.read()])  # type: ignore[attr-defined]
        return AWSResponse(
            request.url, 501 if trailing else 200, {} if trailing else {"ETag": '"e"'}, raw
        )

    client.meta.events.register("before-send.s3", respond)
    storage = BotoEngine(client, JOB, lambda: "")
    if not storage.requests.has_parameter("put_object", "ChecksumAlgorithm"):
        pytest.skip("this boto3 knows no trailers")
    for _ in range(2):
        assert storage.write(S3Uri("b", "k"), b"data", {"ChecksumAlgorithm": "CRC32"}).etag == "e"
    forms = [STREAMING in each["x-amz-content-sha256"] for each in sent]
    assert forms == [True, False, False]
    assert all("x-amz-checksum-crc32" in each for each in sent[1:])
    assert not payloads.takes_trailers(client)


# STS


@pytest.mark.parametrize("message", ["<Message/>", "", "<Message>not you</Message>"])
def test_an_error_of_sts_whose_code_stands_at_the_top_is_read(
    message: str, memory_aws: Store
) -> None:
    body = (
        "<?xml "
        f"version='1.0'?><Error><Code>AccessDenied</Code>{message}<RequestId>tx1</RequestId>"
        "</Error>"
    )
    memory_aws.hook = lambda request: (
        Response(403, {"Content-Type": "application/xml"}, body.encode())
        if request.service == "sts"
        else None
    )
    sessions = Sessions(
        JobIdentity("eu-west-1", keys=Keys("k", "s"), endpoints={"": memory_aws.url})
    )
    with pytest.raises(RoleRefused) as raised:
        sessions.assume(Role(ROLES["reader"], "reader"))
    refused = raised.value
    assert refused.type == "RoleRefused"
    assert "None" not in refused.message + refused.hint
    assert "sts:AssumeRole" in refused.hint
    assert ("not you" if "not you" in message else "AccessDenied") in refused.message


def test_an_error_of_s3_without_a_message_is_not_none(
    open_engine: Callable[..., Any], memory_aws: Store, tmp_path: Path
) -> None:
    memory_aws.hook = lambda request: xml(
        "<Error><Code>InvalidStorageClass</Code><Message/></Error>", 400
    )
    (tmp_path / "f").write_text("x")
    (outcome,) = open_engine().put([Put(tmp_path / "f", S3Uri("b", "k"))], Cancel())
    assert outcome.error.type == "InvalidStorageClass"
    assert "None" not in outcome.error.message


def test_an_endpoint_that_does_not_answer_has_refused_nothing(engine: str) -> None:
    with socket.socket() as unused_port:  # bound and not listening
        unused_port.bind(("127.0.0.1", 0))
        config = Config(
            s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 1}
        )
        url = f"http://127.0.0.1:{unused_port.getsockname()[1]}"
        client = boto3.client(
            "s3",
            "eu-west-1",
            endpoint_url=url,
            config=config,
            aws_access_key_id="k",
            aws_secret_access_key="s",
        )
        role = Role(ROLES["reader"], "reader")
        storage = (
            BotoEngine(client, role, lambda: "")
            if engine == "boto3"
            else open_native_engine(BotoEngine(client, role, lambda: ""), Credentials("k", "s"))
        )
        with pytest.raises(StepError) as raised:
            list(storage.list(S3Uri("landing", "q/")))
    assert (type(raised.value), raised.value.type) == (ServiceFailed, "EndpointConnectionError")
    assert "the endpoint does not respond" in raised.value.hint
    assert "may not" not in raised.value.message


# pace


@pytest.mark.parametrize("objects", [1, 4])
def test_bandwidth_holds_from_the_first_byte(
    objects: int, open_engine: Callable[..., Any], memory_aws: Store, tmp_path: Path
) -> None:
    rate, whole = 800_000, 400_000
    for number in range(objects):
        memory_aws.put("landing", f"{number}", b"x" * (whole // objects))
        (tmp_path / f"up{number}").write_bytes(b"x" * (whole // objects))
    keys = [f"{number}" for number in range(objects)]
    for work in ("put", "get"):
        flow = Pacer(bandwidth=rate)
        time.sleep(0.15)  # what was not used while nothing went is not made up for
        storage, started_at = open_engine(flow=flow), time.monotonic()
        if work == "put":
            items: Any = [Put(tmp_path / f"up{key}", S3Uri("publish", key)) for key in keys]
        else:
            items = [
                Get(S3Uri("landing", key), tmp_path / key, ObjectInfo(key, whole // objects))
                for key in keys
            ]
        outcomes = list(getattr(storage, work)(items, Cancel()))
        assert [each.error for each in outcomes] == [None] * objects
        assert time.monotonic() - started_at >= whole / rate * 0.98


# checksums


@pytest.mark.parametrize("size", [1000, 17 * MIB])
def test_a_checksum_that_never_matches_fails_in_seconds(
    size: int, open_engine: Callable[..., Any], memory_aws: Store, tmp_path: Path
) -> None:
    memory_aws.put("landing", "a", bytes(size), headers={"x-amz-checksum-crc32": "AAAAAA=="})
    started_at = time.process_time()
    (outcome,) = open_engine().get(
        [Get(S3Uri("landing", "a"), tmp_path / "a", ObjectInfo("a", size))], Cancel()
    )
    assert outcome.error.type == "IntegrityFailed", outcome.error
    assert time.process_time() - started_at < 20
    assert not (tmp_path / "a").exists()
    reads = [each for each in memory_aws.requests_of("GET") if each.key == "a"]
    assert len(reads) <= 3 * 9, "three tries of an object of a few ranges"


# secrets on their way to other processes of this machine


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        (
            "s3.download",
            {
                "role": "reader",
                "source": "s3://landing/q/",
                "target": "out/",
                "customer_key": CUSTOMER_KEY,
            },
        ),
        (
            "s3.upload",
            {
                "role": "writer",
                "source": "in/",
                "target": "s3://publish/q/",
                "encryption": {"type": "SSE-C", "customer_key": CUSTOMER_KEY},
            },
        ),
        (
            "s3.copy",
            {
                "source_role": "writer",
                "target_role": "writer",
                "source": "s3://landing/q/",
                "target": "s3://publish/q/",
                "customer_key": CUSTOMER_KEY,
                "encryption": {"type": "SSE-C", "customer_key": CUSTOMER_KEY},
            },
        ),
        (
            "s3.copy",
            {
                "source_role": "reader",
                "target_role": "writer",
                "source": "s3://landing/q/",
                "target": "s3://publish/q/",
                "customer_key": CUSTOMER_KEY,
                "encryption": {"type": "SSE-C", "customer_key": CUSTOMER_KEY},
                "tags": {"a": "b"},
                "metadata": {"m": "n"},
                "acl": "private",
                "request_payer": True,
                "expected_bucket_owner": "444455556666",
            },
        ),
        ("s3.list", {"role": "reader", "source": "s3://landing/q/"}),
    ],
)
def test_hundreds_of_objects_go_with_every_secret(
    action: str,
    fields: dict[str, Any],
    engine: str,
    memory_aws: Store,
    rolerunner: Callable[..., Any],
    tmp_path: Path,
) -> None:
    count = 300
    (tmp_path / "in").mkdir()
    for number in range(count):
        memory_aws.put("landing", f"q/{number}", f"{number}")
        (tmp_path / "in" / f"{number}").write_text(f"{number}")
    spec = {
        "version": 1,
        "name": "t",
        "engine": engine,
        "roles": ROLES,
        "steps": [{"id": "it", "action": action, **fields}],
    }
    (tmp_path / "job.yaml").write_text(json.dumps(spec))
    completed = rolerunner("run", "job.yaml", "--result", "r.json")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert json.loads((tmp_path / "r.json").read_text())["steps"][0]["outputs"]["count"] == count
    assert (
        CUSTOMER_KEY not in completed.stdout + completed.stderr + (tmp_path / "r.json").read_text()
    )
    keyed = [
        each
        for each in memory_aws.requests
        if "x-amz-server-side-encryption-customer-key" in each.headers
    ]
    assert bool(keyed) == ("customer_key" in json.dumps(fields))


ENCRYPTION = {"type": "SSE-C", "customer_key": CUSTOMER_KEY}
ALGORITHM = "x-amz-server-side-encryption-customer-algorithm"
STORING_STEPS: dict[str, dict[str, Any]] = {
    "write": {"action": "s3.write", "text": "x", "target": "s3://publish/a"},
    "upload": {"action": "s3.upload", "source": "small", "target": "s3://publish/a"},
    "upload in parts": {"action": "s3.upload", "source": "large", "target": "s3://publish/a"},
    "relay": {
        "action": "s3.copy",
        "source": "s3://landing/small",
        "target": "s3://publish/a",
        "source_role": "job",
        "target_role": "writer",
    },
    "copy": {"action": "s3.copy", "source": "s3://landing/small", "target": "s3://publish/a"},
    "copy in parts": {
        "action": "s3.copy",
        "source": "s3://landing/large",
        "target": "s3://publish/a",
        "multipart_above": "5MiB",
        "part_size": "5MiB",
    },
}


@pytest.fixture
def store_encrypted(engine: str, memory_aws: Store, tmp_path: Path) -> Callable[..., StepResult]:
    """Runs one of STORING_STEPS with a customer key."""

    def run(name: str, **fields: Any) -> StepResult:
        for key, size in (("small", 10), ("large", 20 * MIB)):
            (tmp_path / key).write_bytes(bytes(size))
            memory_aws.put("landing", key, bytes(size))
        step = {"id": "it", "encryption": ENCRYPTION, **STORING_STEPS[name], **fields}
        if name != "relay":
            step["role"] = "job"
        if name.startswith("upload"):
            step["source"] = str(tmp_path / step["source"])
        spec = {"version": 1, "name": "t", "engine": engine, "roles": ROLES, "steps": [step]}
        (tmp_path / "job.yaml").write_text(json.dumps(spec))
        identity = JobIdentity("eu-west-1", keys=Keys("k", "s"), endpoints={"": memory_aws.url})
        return api.run(api.load(tmp_path / "job.yaml"), identity=identity).steps[0]

    return run


@pytest.mark.parametrize("name", STORING_STEPS)
def test_a_customer_key_that_the_server_ignores_is_an_error(
    name: str, store_encrypted: Callable[..., StepResult], memory_aws: Store
) -> None:
    def ignore_key(request: Request) -> None:
        request.headers.pop(ALGORITHM, None)

    memory_aws.hook = ignore_key
    error = store_encrypted(name).error
    assert error is not None
    assert error.type == "NotEncrypted"
    assert "s3://publish/a" in error.message
    assert CUSTOMER_KEY not in error.message + error.hint


@pytest.mark.parametrize("name", STORING_STEPS)
def test_a_customer_key_that_only_head_confirms(
    name: str, store_encrypted: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.hook = lambda request: (
        None if request.method == "HEAD" else memory_aws.respond(request)
    )
    assert store_encrypted(name).error is None


@pytest.mark.parametrize("name", ["upload in parts", "copy in parts"])
def test_a_completion_has_the_customer_key(
    name: str, store_encrypted: Callable[..., StepResult], memory_aws: Store
) -> None:
    """S3 requires it for uploads with checksums."""
    memory_aws.hook = lambda request: (
        error(400, "InvalidRequest")
        if request.method == "POST" and ALGORITHM not in request.headers
        else None
    )
    assert store_encrypted(name).error is None


@pytest.mark.parametrize("name", ["copy", "relay"])
def test_a_move_verifies_the_copy_with_its_customer_key(
    name: str, store_encrypted: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.hook = lambda request: (
        error(400, "InvalidRequest")
        if request.method == "HEAD"
        and request.bucket == "publish"
        and ALGORITHM not in request.headers
        else None
    )
    assert store_encrypted(name, move=True).error is None
    assert "s3://landing/small" not in memory_aws.bodies()
    assert memory_aws.bodies()["s3://publish/a"] == bytes(10)


def require_customer_keys(store: Store) -> None:
    """Refuses reads as S3 does: without the key of an object, and with a key of one without."""
    encrypted: set[str] = set()

    def hook(request: Request) -> Response | None:
        uri = f"s3://{request.bucket}/{request.key}"
        is_read = request.method in ("GET", "HEAD") and uri in store.bodies()
        if is_read and (uri in encrypted) != (ALGORITHM in request.headers):
            return error(400, "InvalidRequest")
        return None

    def after(request: Request) -> None:
        if request.method in ("PUT", "POST") and ALGORITHM in request.headers:
            encrypted.add(f"s3://{request.bucket}/{request.key}")

    store.hook, store.after = hook, after


@pytest.mark.parametrize("if_exists", ["skip", "skip_same", "fail"])
@pytest.mark.parametrize("name", ["upload", "relay", "copy"])
def test_targets_with_a_customer_key_are_looked_at_with_it(
    name: str, if_exists: str, store_encrypted: Callable[..., StepResult], memory_aws: Store
) -> None:
    require_customer_keys(memory_aws)
    assert store_encrypted(name, if_exists=if_exists).error is None
    again = store_encrypted(name, if_exists=if_exists)
    if if_exists == "fail":
        assert again.error is not None
        assert "already exists" in again.error.message
    else:
        assert (again.error, again.outputs["skipped"]) == (None, 1)


@pytest.mark.parametrize("if_exists", ["skip", "skip_same", "fail"])
@pytest.mark.parametrize("name", ["upload", "relay", "copy"])
def test_targets_that_have_no_customer_key_yet(
    name: str, if_exists: str, store_encrypted: Callable[..., StepResult], memory_aws: Store
) -> None:
    require_customer_keys(memory_aws)
    memory_aws.put("publish", "a", b"plain")
    result = store_encrypted(name, if_exists=if_exists)
    assert (result.error is None) == (if_exists != "fail")
    is_replaced = if_exists == "skip_same"
    assert memory_aws.bodies()["s3://publish/a"] == (bytes(10) if is_replaced else b"plain")


@pytest.mark.parametrize("name", ["copy", "copy in parts", "copy with metadata", "copy of a URI"])
def test_a_copy_reads_its_source_with_the_sources_key_and_owner(
    name: str, engine: str, memory_aws: Store, tmp_path: Path
) -> None:
    for key in ("small", "large"):
        memory_aws.put("landing", key, bytes(20 * MIB if key == "large" else 10))
    other_key = base64.b64encode(bytes(32)).decode()
    step: dict[str, Any] = {
        "id": "it",
        "role": "job",
        **STORING_STEPS["copy in parts" if name == "copy in parts" else "copy"],
        "customer_key": CUSTOMER_KEY,
        "encryption": {"type": "SSE-C", "customer_key": other_key},
        "expected_source_bucket_owner": "111122223333",
        "expected_bucket_owner": "444455556666",
    }
    if name == "copy with metadata":
        step["metadata"] = {"a": "b"}
    if name == "copy of a URI":
        step.update(objects=[step.pop("source")], target="s3://publish/")
    spec = {"version": 1, "name": "t", "engine": engine, "steps": [step]}
    (tmp_path / "job.yaml").write_text(json.dumps(spec))
    identity = JobIdentity("eu-west-1", keys=Keys("k", "s"), endpoints={"": memory_aws.url})
    assert api.run(api.load(tmp_path / "job.yaml"), identity=identity).steps[0].error is None
    heads = [each for each in memory_aws.requests_of("HEAD") if each.bucket == "landing"]
    assert heads or name == "copy"
    for each in heads:
        assert each.headers["x-amz-server-side-encryption-customer-key"] == CUSTOMER_KEY
        assert each.headers["x-amz-expected-bucket-owner"] == "111122223333"
    for each in memory_aws.requests_of("GET"):  # of tags, which are not encrypted
        assert each.bucket == "landing"
        assert each.headers["x-amz-expected-bucket-owner"] == "111122223333"


def test_a_customer_key_is_not_sent_to_other_machines() -> None:
    with pytest.raises(StepError, match="cannot be sent") as raised:
        pickle_tasks([replace(Access(), customer_key=register_credential(CUSTOMER_KEY))])  # type: ignore[list-item]
    assert CUSTOMER_KEY not in str(raised.value)
