"""An AccessDenied error names the role, the IAM action and the resource, in both engines."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from tests.memory_aws import Response, error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Request, Store

ACCOUNT = "arn:aws:iam::444455556666:role"
ROLES = {"reader": f"{ACCOUNT}/reader", "writer": f"{ACCOUNT}/writer"}
BOTH = {"source_role": "reader", "target_role": "writer"}
LARGE = 17 << 20
KEY_ARN = "arn:aws:kms:eu-west-1:444455556666:key/1"
FROM, TO = "s3://landing/q/", "s3://publish/q/"


@dataclass(frozen=True)
class Call:
    """A call, by its method and query, and the bucket that it is about."""

    method: str
    bucket: str
    query: str = ""
    header: str = ""

    def is_made_by(self, request: Request) -> bool:
        return (
            request.service == "s3"
            and (request.method, request.bucket) == (self.method, self.bucket)
            and (
                self.query in request.query
                if self.query
                else not {"tagging", "uploads", "partNumber", "delete", "list-type"}
                & set(request.query)
            )
            and (not self.header or self.header in request.headers)
            and request.key in ("", "q/a")
        )


@dataclass(frozen=True)
class Row:
    """A step, its refused call, and the expected role, action and resource of the error."""

    action: str
    fields: dict[str, Any]
    call: Call
    role: str
    refused: str
    arn: str
    size: int = 3


RELAY = {**BOTH, "source": FROM, "target": TO}
WITHIN = {"source_role": "writer", "target_role": "writer", "source": FROM, "target": TO}
READ, WRITTEN = "arn:aws:s3:::landing/q/a", "arn:aws:s3:::publish/q/a"
TABLE = {
    "relay: list": Row(
        "s3.copy",
        RELAY,
        Call("GET", "landing", "list-type"),
        "reader",
        "s3:ListBucket",
        "arn:aws:s3:::landing",
    ),
    "relay: head": Row(
        "s3.copy",
        {**RELAY, "source": f"{FROM}a"},
        Call("HEAD", "landing"),
        "reader",
        "s3:GetObject",
        READ,
    ),
    "relay: read": Row("s3.copy", RELAY, Call("GET", "landing"), "reader", "s3:GetObject", READ),
    "relay: tags": Row(
        "s3.copy", RELAY, Call("GET", "landing", "tagging"), "reader", "s3:GetObjectTagging", READ
    ),
    "relay: ranges": Row(
        "s3.copy",
        RELAY,
        Call("GET", "landing", header="range"),
        "reader",
        "s3:GetObject",
        READ,
        LARGE,
    ),
    "relay: write": Row(
        "s3.copy", RELAY, Call("PUT", "publish"), "writer", "s3:PutObject", WRITTEN
    ),
    "relay: begin": Row(
        "s3.copy",
        RELAY,
        Call("POST", "publish", "uploads"),
        "writer",
        "s3:PutObject",
        WRITTEN,
        LARGE,
    ),
    "relay: part": Row(
        "s3.copy",
        RELAY,
        Call("PUT", "publish", "partNumber"),
        "writer",
        "s3:PutObject",
        WRITTEN,
        LARGE,
    ),
    "relay: end": Row(
        "s3.copy",
        RELAY,
        Call("POST", "publish", "uploadId"),
        "writer",
        "s3:PutObject",
        WRITTEN,
        LARGE,
    ),
    "copy: head": Row(
        "s3.copy",
        {**WITHIN, "source": f"{FROM}a"},
        Call("HEAD", "landing"),
        "writer",
        "s3:GetObject",
        READ,
    ),
    "copy: tags": Row(
        "s3.copy",
        {**WITHIN, "multipart_above": "5MiB"},
        Call("GET", "landing", "tagging"),
        "writer",
        "s3:GetObjectTagging",
        READ,
        LARGE,
    ),
    "copy: begin": Row(
        "s3.copy",
        {**WITHIN, "multipart_above": "5MiB"},
        Call("POST", "publish", "uploads"),
        "writer",
        "s3:PutObject",
        WRITTEN,
        LARGE,
    ),
    "download: read": Row(
        "s3.download",
        {"role": "reader", "source": FROM, "target": "out/"},
        Call("GET", "landing"),
        "reader",
        "s3:GetObject",
        READ,
    ),
    "download: ranges": Row(
        "s3.download",
        {"role": "reader", "source": FROM, "target": "out/"},
        Call("GET", "landing", header="range"),
        "reader",
        "s3:GetObject",
        READ,
        LARGE,
    ),
    "upload: write": Row(
        "s3.upload",
        {"role": "writer", "source": "a", "target": TO},
        Call("PUT", "publish"),
        "writer",
        "s3:PutObject",
        WRITTEN,
    ),
    "upload: part": Row(
        "s3.upload",
        {"role": "writer", "source": "a", "target": TO},
        Call("PUT", "publish", "partNumber"),
        "writer",
        "s3:PutObject",
        WRITTEN,
        LARGE,
    ),
    "read": Row(
        "s3.read",
        {"role": "reader", "source": f"{FROM}a"},
        Call("GET", "landing"),
        "reader",
        "s3:GetObject",
        READ,
    ),
    "write": Row(
        "s3.write",
        {"role": "writer", "target": f"{TO}a", "text": "x"},
        Call("PUT", "publish"),
        "writer",
        "s3:PutObject",
        WRITTEN,
    ),
    "list": Row(
        "s3.list",
        {"role": "reader", "source": FROM},
        Call("GET", "landing", "list-type"),
        "reader",
        "s3:ListBucket",
        "arn:aws:s3:::landing",
    ),
    "delete: batch": Row(
        "s3.delete",
        {"role": "writer", "source": FROM, "max_delete": 9},
        Call("POST", "landing", "delete"),
        "writer",
        "s3:DeleteObject",
        "arn:aws:s3:::landing/q/*",
    ),
    "delete: one": Row(
        "s3.delete",
        {"role": "writer", "objects": [f"{FROM}a"], "max_delete": 9},
        Call("POST", "landing", "delete"),
        "writer",
        "s3:DeleteObject",
        READ,
    ),
}


@pytest.fixture(params=["fast", "boto3"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(
    engine: str, memory_aws: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs one step on objects of a size; the failure of it."""
    monkeypatch.chdir(tmp_path)

    def fail(action: str, fields: dict[str, Any], size: int = 3, **more: Any) -> Any:
        for key in ("a", "b"):
            memory_aws.put("landing", f"q/{key}", bytes(size if key == "a" else 3))
        (tmp_path / "a").write_bytes(bytes(size))
        spec = {
            "version": 1,
            "name": "t",
            "engine": engine,
            "roles": ROLES,
            "steps": [{"id": "it", "action": action, **fields, **more}],
        }
        (tmp_path / "job.yaml").write_text(json.dumps(spec))
        return api.run(api.load(tmp_path / "job.yaml")).steps[0].error

    return fail


def refuse(store: Store, call: Call, response: Callable[[Request], Response]) -> list[str]:
    """Refuses a call of the bucket or of its first object; the roles that were refused."""
    matching_requests: list[str] = []

    def hook(request: Request) -> Any:
        if not call.is_made_by(request):
            # a HEAD that is refused is explained by a GET
            if (
                call.method == "HEAD"
                and request.method == "GET"
                and request.headers.get("range") == "bytes=0-0"
            ):
                return response(request)
            return None
        matching_requests.append(store.roles_of_keys[request.access_key].rpartition("/")[2])
        return Response(403) if request.method == "HEAD" else response(request)

    store.hook = hook
    return matching_requests


def deny_access(_: Request) -> Response:
    return error(403, "AccessDenied", "Access Denied")


def statements(failed: Any) -> list[dict[str, Any]]:
    return [
        json.loads(line.partition(": ")[2])
        for line in failed.hint.splitlines()
        if line.startswith("its policy may lack: ")
    ]


@pytest.mark.parametrize("name", TABLE)
def test_a_refusal_without_names_is_told_by_the_call(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    row = TABLE[name]
    matching_requests = refuse(memory_aws, row.call, deny_access)
    failed = run(row.action, row.fields, row.size)
    assert set(matching_requests) == {row.role}
    assert failed.type == "AccessDenied"
    assert f"the role '{row.role}' may not {row.refused} on {row.arn}" in failed.message
    (statement,) = statements(failed)
    assert (statement["Action"], statement["Resource"]) == (row.refused, row.arn)
    others = set(ROLES) - {row.role}
    assert not any(f"'{other}'" in failed.message for other in others), failed.message
    assert f"assumed-role/{row.role}/" in failed.hint


@pytest.mark.parametrize("name", [name for name in TABLE if not name.startswith("delete")])
def test_a_key_of_kms_is_blamed_on_the_role_that_uses_it(
    name: str, run: Callable[..., Any], memory_aws: Store
) -> None:
    row = TABLE[name]
    writes = row.role == "writer" and row.refused == "s3:PutObject"
    action = "kms:GenerateDataKey" if writes else "kms:Decrypt"
    message = (
        f"User: arn:aws:sts::444455556666:assumed-role/{row.role}/t is not authorized to "
        f"perform: {action} on resource: {KEY_ARN}"
    )
    refuse(memory_aws, row.call, lambda _: error(403, "AccessDenied", message))
    failed = run(row.action, row.fields, row.size)
    assert f"the role '{row.role}' may not {action} on {KEY_ARN}" in failed.message


def test_a_copy_by_one_role_may_lack_either(run: Callable[..., Any], memory_aws: Store) -> None:
    refuse(memory_aws, Call("PUT", "publish"), deny_access)
    failed = run("s3.copy", WITHIN)
    assert {(each["Action"], each["Resource"]) for each in statements(failed)} == {
        ("s3:GetObject", READ),
        ("s3:PutObject", WRITTEN),
    }
    assert "AWS does not report which" in failed.hint


def test_a_copy_in_parts_by_one_role_may_lack_either(
    run: Callable[..., Any], memory_aws: Store
) -> None:
    refuse(memory_aws, Call("PUT", "publish", "partNumber"), deny_access)
    failed = run("s3.copy", {**WITHIN, "multipart_above": "5MiB", "part_size": "5MiB"}, LARGE)
    assert {(each["Action"], each["Resource"]) for each in statements(failed)} == {
        ("s3:GetObject", READ),
        ("s3:PutObject", WRITTEN),
    }


@pytest.mark.parametrize("fields", [RELAY, WITHIN])
@pytest.mark.parametrize("size", [3, LARGE])
def test_a_source_that_is_gone_is_the_source(
    fields: dict[str, Any], size: int, run: Callable[..., Any], memory_aws: Store
) -> None:
    def hook(request: Request) -> Any:
        source = request.headers.get("x-amz-copy-source", "")
        if (
            request.key == "q/a"
            and "list-type" not in request.query
            and (request.bucket == "landing" or "landing" in source)
        ):
            return (
                Response(404)
                if request.method == "HEAD"
                else error(404, "NoSuchKey", "The specified key does not exist.")
            )
        return None

    memory_aws.hook = hook
    failed = run("s3.copy", fields, size)
    assert (failed.type, "there is no object s3://landing/q/a" in failed.message) == (
        "NoSuchKey",
        True,
    ), failed.message


def test_the_bucket_that_is_missing_is_named(run: Callable[..., Any], memory_aws: Store) -> None:
    body = (
        b"<Error><Code>NoSuchBucket</Code><Message>no</Message><BucketName>landing</BucketName>"
        b"</Error>"
    )
    memory_aws.hook = lambda request: (
        Response(404, {"Content-Type": "application/xml"}, body)
        if "x-amz-copy-source" in request.headers
        else None
    )
    failed = run("s3.copy", WITHIN)
    assert (failed.type, "there is no bucket 'landing'" in failed.message) == (
        "NoSuchBucket",
        True,
    ), failed.message


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "expected"),
    [
        ("s3", "ListBuckets", {}, [("s3:ListAllMyBuckets", "*")]),
        ("s3", "HeadObject", {"Bucket": "landing", "Key": "q/a"}, [("s3:GetObject", READ)]),
        (
            "s3",
            "ListObjectsV2",
            {"Bucket": "landing", "Prefix": "q/"},
            [("s3:ListBucket", "arn:aws:s3:::landing")],
        ),
        (
            "s3",
            "GetObjectTagging",
            {"Bucket": "landing", "Key": "q/a", "VersionId": "1"},
            [("s3:GetObjectVersionTagging", READ)],
        ),
        (
            "s3",
            "CreateMultipartUpload",
            {"Bucket": "landing", "Key": "q/a"},
            [("s3:PutObject", READ)],
        ),
        (
            "s3",
            "GetBucketEncryption",
            {"Bucket": "landing"},
            [("s3:GetEncryptionConfiguration", "arn:aws:s3:::landing")],
        ),
        (
            "s3",
            "DeleteObjects",
            {
                "Bucket": "landing",
                "Delete": {"Objects": [{"Key": "q/a", "VersionId": "1"}, {"Key": "q/b"}]},
            },
            [("s3:DeleteObjectVersion", "arn:aws:s3:::landing/q/*")],
        ),
        (
            "s3",
            "CopyObject",
            {"Bucket": "publish", "Key": "q/a", "CopySource": "landing/q/a?versionId=1"},
            [("s3:GetObjectVersion", READ), ("s3:PutObject", WRITTEN)],
        ),
        ("glue", "StartCrawler", {"Name": "x"}, [("glue:StartCrawler", "*")]),
        ("lambda", "Invoke", {"FunctionName": "x"}, [("lambda:InvokeFunction", "*")]),
        (
            "sqs",
            "SendMessageBatch",
            {"QueueUrl": "https://x.example/q", "Entries": []},
            [("sqs:SendMessage", "*")],
        ),
        ("cloudwatch", "ListMetrics", {}, [("cloudwatch:ListMetrics", "*")]),
    ],
)
def test_a_refused_call_of_any_service_names_its_iam_action(
    service: str,
    operation: str,
    parameters: dict[str, Any],
    expected: list[tuple[str, str]],
    memory_aws: Store,
    tmp_path: Path,
) -> None:
    def hook(request: Request) -> Any:
        if request.service == "sts":
            return None
        if service in ("s3", "lambda", "cloudwatch"):
            return (
                Response(403)
                if request.method == "HEAD"
                else error(403, "AccessDenied", "Access Denied")
            )
        return Response(
            400,
            {"x-amzn-ErrorType": "AccessDeniedException"},
            b'{"__type": "AccessDeniedException", "message": "Access denied"}',
        )

    memory_aws.hook = hook
    step = {
        "id": "it",
        "action": "aws.call",
        "role": "reader",
        "service": service,
        "operation": operation,
        "parameters": parameters,
    }
    (tmp_path / "job.yaml").write_text(
        json.dumps({"version": 1, "name": "t", "roles": ROLES, "steps": [step]})
    )
    failed = api.run(api.load(tmp_path / "job.yaml")).steps[0].error
    assert failed is not None
    assert failed.type == "AccessDenied", failed
    assert [(each["Action"], each["Resource"]) for each in statements(failed)] == expected
    assert re.search(r"the role 'reader' may not ", failed.message)


@pytest.mark.parametrize(
    ("call", "action", "resource"),
    [
        ("client('s3').get_object(Bucket='landing', Key='q/a')", "s3:GetObject", READ),
        ("client('s3').list_buckets()", "s3:ListAllMyBuckets", "*"),
        (
            (
                "client('s3').delete_objects(Bucket='landing', "
                "Delete={'Objects': [{'Key': 'q/a'}, {'Key': 'q/b'}]})"
            ),
            "s3:DeleteObject",
            "arn:aws:s3:::landing/q/*",
        ),
        ("client('s3').download_file('landing', 'q/a', 'out')", "s3:GetObject", READ),
        ("client('lambda').invoke(FunctionName='x')", "lambda:InvokeFunction", "*"),
    ],
)
def test_a_function_that_was_refused_names_the_iam_action(
    call: str, action: str, resource: str, memory_aws: Store, tmp_path: Path
) -> None:
    memory_aws.put("landing", "q/a", "x")
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied", "Access Denied") if request.service != "sts" else None
    )
    (tmp_path / "work.py").write_text(f"def work(session):\n    return session.{call}\n")
    step = {"id": "it", "action": "python.call", "role": "reader", "function": "work.py:work"}
    (tmp_path / "job.yaml").write_text(
        json.dumps({"version": 1, "name": "t", "roles": ROLES, "steps": [step]})
    )
    failed = api.run(api.load(tmp_path / "job.yaml")).steps[0].error
    assert failed is not None
    assert "the role 'reader' may not " in failed.message
    (statement,) = statements(failed)
    assert (statement["Action"], statement["Resource"]) == (action, resource)
