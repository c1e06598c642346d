"""``aws.call`` and ``python.call`` on the embedded AWS."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.errors import SpecError
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.model import StepResult

ACCOUNT = "111122223333"
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions:
      - {{Effect: Allow, Action: ["s3:*", "sqs:*", "glue:*"], Resource: "*"}}
      - {{Effect: Deny, Action: "s3:GetBucketTagging", Resource: "*"}}
buckets:
  - {{name: data-bucket, account: "{ACCOUNT}",
      objects: [{{key: in/a, text: aa}}, {{key: in/b, text: b}}]}}
"""


def spec(tmp_path: Path, **fields: Any) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text("version: 1\nname: t\nsteps:\n  - " + json.dumps({"id": "it", **fields}) + "\n")
    return path


@pytest.fixture
def step(aws: sandbox.Sandbox, tmp_path: Path) -> Any:
    def run(action: str, **fields: Any) -> StepResult:
        return api.run(
            api.load(spec(tmp_path, action=action, role="job", **fields)), identity=identity_of(aws)
        ).steps[0]

    return run


def test_a_call_selects_and_pages(step: Any) -> None:
    listed = {
        "service": "s3",
        "operation": "ListObjectsV2",
        "parameters": {"Bucket": "data-bucket", "MaxKeys": 1},
    }
    assert step("aws.call", **listed, select="Contents[].Key").outputs == {
        "result": ["in/a", "in/b"]
    }, "two pages of one key"
    assert step(
        "aws.call", **listed, select="{n: length(Contents), first: Contents[0].Size}"
    ).outputs == {"n": 2, "first": 2}
    assert step("aws.call", **listed, select="Contents[].Key", max_items=1).outputs == {
        "result": ["in/a"]
    }
    text = step(
        "aws.call",
        service="s3",
        operation="GetObject",
        parameters={"Bucket": "data-bucket", "Key": "in/a"},
        select="Body",
    )
    assert text.outputs == {"result": "aa"}
    assert step(
        "aws.call", **{**listed, "operation": "list_objects_v2"}, select="length(Contents)"
    ).outputs == {"result": 2}
    whole = step(
        "aws.call",
        service="s3",
        operation="HeadObject",
        parameters={"Bucket": "data-bucket", "Key": "in/a"},
    ).outputs
    assert (whole["ContentLength"], "ResponseMetadata" in whole) == (2, False)
    json.dumps(whole)


def test_a_refused_call_names_the_statement(step: Any) -> None:
    refused = step(
        "aws.call", service="s3", operation="GetBucketTagging", parameters={"Bucket": "data-bucket"}
    )
    assert refused.error is not None
    assert (refused.error.type, "s3:GetBucketTagging" in refused.error.message) == (
        "AccessDenied",
        True,
    )


def test_other_services_and_waiting(step: Any, aws: sandbox.Sandbox) -> None:
    made = step(
        "aws.call",
        service="sqs",
        operation="CreateQueue",
        parameters={"QueueName": "q"},
        select="QueueUrl",
    )
    url = made.outputs["result"]
    threading.Timer(
        0.7, lambda: aws.client("sqs", ACCOUNT).send_message(QueueUrl=url, MessageBody="m")
    ).start()
    wait = {
        "expression": "Attributes.ApproximateNumberOfMessages != '0'",
        "interval": 0.2,
        "max_wait": 20,
    }
    counted = {
        "service": "sqs",
        "operation": "GetQueueAttributes",
        "parameters": {"QueueUrl": url, "AttributeNames": ["All"]},
    }
    started_at = time.monotonic()
    assert step(
        "aws.call", **counted, wait_until=wait, select="Attributes.ApproximateNumberOfMessages"
    ).outputs == {"result": "1"}
    assert 0.3 < time.monotonic() - started_at < 15
    late = step(
        "aws.call", **counted, wait_until={**wait, "expression": "`false`", "max_wait": 0.3}
    )
    assert late.error.type == "WaitTimeout"
    failed = step(
        "aws.call", **counted, wait_until={**wait, "expression": "`false`", "fails_if": "`true`"}
    )
    assert failed.error.type == "WaitFailed"
    glue = step("aws.call", service="glue", operation="GetDatabases", select="length(DatabaseList)")
    assert glue.status == "succeeded", glue.error


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"service": "s3x", "operation": "ListBuckets"},
            "'service': there is no AWS service 's3x' (did you mean 's3'?)",
        ),
        (
            {"service": "s3", "operation": "ListBucket"},
            "'operation': s3 has no operation 'ListBucket' (did you mean 'ListBuckets'?)",
        ),
        (
            {"service": "sts", "operation": "AssumeRole"},
            "AssumeRole returns credentials, which steps do not need: use 'role'",
        ),
        (
            {
                "service": "glue",
                "operation": "StartJobRun",
                "parameters": {"JobNme": "x", "Timeout": "5", "Arguments": ["a"]},
            },
            (
                "'parameters' has no 'JobNme' (did you mean 'JobName'?); 'parameters.Timeout' "
                "must be a whole number, not '5'; 'parameters.Arguments' must"
            ),
        ),
        (
            {"service": "s3", "operation": "ListBuckets", "select": "Buckets["},
            "is not a JMESPath expression",
        ),
        (
            {
                "service": "s3",
                "operation": "PutBucketAcl",
                "parameters": {"Bucket": "b", "ACL": "public"},
            },
            "'parameters.ACL' cannot be 'public' (did you mean 'public-read'?)",
        ),
    ],
)
def test_a_call_is_checked_against_the_services_model(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as raised:
        api.load(spec(tmp_path, action="aws.call", role="job", **fields))
    assert message in str(raised.value)


def test_what_a_call_needs(tmp_path: Path) -> None:
    def needed(**fields: Any) -> list[tuple[str, str]]:
        (planned,) = api.plan(
            api.load(spec(tmp_path, action="aws.call", role="job", **fields))
        ).steps
        return [(each.action, each.resource) for each in planned.permissions["role"]]

    assert needed(service="glue", operation="GetDatabases") == [("glue:GetDatabases", "*")]
    assert needed(service="s3", operation="HeadObject", parameters={"Bucket": "b", "Key": "k"}) == [
        ("s3:GetObject", "arn:aws:s3:::b/k")
    ]
    assert needed(service="stepfunctions", operation="ListStateMachines") == [
        ("states:ListStateMachines", "*")
    ]


FUNCTIONS = """
import sys

def fine(context, source, target="out", *, deep=False):
    arn = context.client("sts").get_caller_identity()["Arn"]
    bucket = context.session.resource("s3").Bucket("b").name
    return {"source": source, "who": arn, "bucket": bucket}

def inner():
    raise KeyError("missing column")

def broken(context):
    inner()

def leaves(context):
    sys.exit(3)

def anything(context, **rest):
    context.progress(1, 2)
    context.log("hello", level=1)
    return sorted(rest)

def decorated(function):
    return function

@decorated
def wrapped(context, a):
    return a

def unserialisable(context):
    return {"x": object()}
"""


@pytest.fixture
def functions(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "user_code.py").write_text(FUNCTIONS)
    yield "user_code"
    sys.modules.pop("user_code", None)


def test_a_function_by_module_or_by_path(step: Any, functions: str) -> None:
    completed = step("python.call", function=f"{functions}:fine", arguments={"source": "a"})
    assert (completed.outputs["source"], completed.outputs["bucket"]) == ("a", "b")
    assert ":assumed-role/job/" in completed.outputs["who"]
    assert step(
        "python.call", function="user_code.py:anything", arguments={"b": 1, "a": 2}
    ).outputs == {"result": ["a", "b"]}
    assert step("python.call", function="./user_code.py:wrapped", arguments={"a": 1}).outputs == {
        "result": 1
    }


def test_a_functions_failure_shows_its_own_frames(step: Any, functions: str) -> None:
    failed = step("python.call", function=f"{functions}:broken")
    assert (failed.error.type, failed.error.message) == (
        "KeyError",
        "'user_code:broken' raised KeyError: 'missing column'",
    )
    assert "user_code.py:10 in inner: raise KeyError" in failed.error.hint
    assert "rolerunner/actions" not in failed.error.hint
    assert "called sys.exit(3)" in step("python.call", function=f"{functions}:leaves").error.message
    assert (
        "has no JSON form"
        in step("python.call", function=f"{functions}:unserialisable").error.message
    )


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("user_code:fin", {}, "has no function 'fin' (did you mean 'fine'?)"),
        ("user_code:fine", {}, "'arguments': 'fine' needs 'source'"),
        (
            "user_code:fine",
            {"source": "a", "taget": "b"},
            "'arguments': 'fine' takes no 'taget' (did you mean 'target'?)",
        ),
        ("user_code:broken", {"x": 1}, "'arguments': 'broken' takes no 'x' (it takes none)"),
        ("none.py:fine", {}, "'function': there is no file none.py beside the spec"),
        ("user_code", {}, "must be module:function"),
    ],
)
def test_a_call_is_checked_against_the_functions_source(
    function: str, arguments: Any, message: str, functions: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as raised:
        api.load(spec(tmp_path, action="python.call", function=function, arguments=arguments))
    assert message in str(raised.value)
    assert functions not in sys.modules, "nobody's code is run to check it"


def test_source_that_is_not_python_is_told_and_what_is_not_here_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "wrong_code.py").write_text("def f(:\n")
    with pytest.raises(SpecError, match="not Python"):
        api.load(spec(tmp_path, action="python.call", function="wrong_code:f"))
    assert api.load(
        spec(tmp_path, action="python.call", function="in_a_wheel_in_glue:f", arguments={"x": 1})
    ).steps
