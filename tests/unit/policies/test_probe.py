"""The requests of a probe, and its conclusions from the answers of AWS."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Optional

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from rolerunner.errors import RoleRefused, StepError
from rolerunner.model import (
    JOB,
    Job,
    Notification,
    Permission,
    Plan,
    PlannedNotification,
    PlannedSecret,
    PlannedStep,
    Role,
    SecretSource,
    Step,
)
from rolerunner.policies.probe import ProbeResult, list_refused_roles, probe_permissions

if TYPE_CHECKING:
    from collections.abc import Callable

READER = Role("arn:aws:iam::111122223333:role/reader", "reader")
BUCKET = "arn:aws:s3:::b"
LOST = EndpointConnectionError(endpoint_url="https://s3")


class FakeAws:
    """Clients whose methods return or raise what the test gives, and record their requests."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.role: Optional[Role] = None

    def client(self, role: Role, service: str, **_: Any) -> Any:
        del service
        self.role = role
        return self

    def session_arn(self, role: Role) -> str:
        return f"session of {role}"

    def assume(self, role: Role) -> None:
        answer = self.answers.get(str(role))
        if answer is not None:
            raise answer

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            self.requests.append((str(self.role), method, parameters))
            answer = self.answers.get(f"{method} {self.role}", self.answers.get(method))
            if isinstance(answer, Exception):
                raise answer
            return {} if answer is None else answer

        return call


def refuse(code: str, operation: str = "GetObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, operation)


def listing(*prefixes: str) -> Permission:
    condition = (("StringLike", "s3:prefix", prefixes),) if prefixes else ()
    return Permission("s3:ListBucket", BUCKET, condition)


def probe(aws: FakeAws, *needed: Permission, role: Role = READER) -> list[tuple[str, str]]:
    step = Step("it", "x", {}, {"role": role})
    plan = Plan(Job("j", (step,)), (PlannedStep(step, {}, {"role": needed}),), (role,))
    found = list(probe_permissions(plan, aws))  # type: ignore[arg-type]
    assert [(each.step, each.role, each.action) for each in found] == [
        ("it", str(role), each.action) for each in needed
    ]
    return [(each.answer, each.remedy) for each in found]


def test_a_listing_is_tried_with_its_prefix() -> None:
    aws = FakeAws()
    assert probe(aws, listing("in/", "in/*"), listing()) == [("yes", ""), ("yes", "")]
    assert aws.requests == [
        ("reader", "list_objects_v2", {"Bucket": "b", "Prefix": "in/", "MaxKeys": 1}),
        ("reader", "list_objects_v2", {"Bucket": "b", "Prefix": "", "MaxKeys": 1}),
    ]


def test_a_read_asks_for_one_byte_and_closes_the_body() -> None:
    body = BytesIO(b"x")
    aws = FakeAws(get_object={"Body": body})
    assert probe(aws, Permission("s3:GetObject", f"{BUCKET}/k")) == [("yes", "")]
    assert body.closed
    assert aws.requests == [
        ("reader", "get_object", {"Bucket": "b", "Key": "k", "Range": "bytes=0-0"})
    ]


@pytest.mark.parametrize(
    ("error", "answer", "remedy"),
    [
        (
            refuse("AccessDenied"),
            "no",
            "the role 'reader' may not s3:GetObject on arn:aws:s3:::b/k",
        ),
        (refuse("NoSuchKey"), "yes", ""),
        (refuse("InvalidRange"), "yes", ""),
        (refuse("NoSuchBucket"), "unknown", "there is no bucket 'b'"),
        (StepError("no client"), "unknown", "no client"),
        (LOST, "unknown", "Could not connect"),
    ],
)
def test_an_answer_decides_or_leaves_it_open(error: Exception, answer: str, remedy: str) -> None:
    ((found, told),) = probe(FakeAws(get_object=error), Permission("s3:GetObject", f"{BUCKET}/k"))
    assert found == answer
    assert remedy in told
    if answer == "no":
        assert "requested by session of reader." in told


@pytest.mark.parametrize(
    ("resource", "key"),
    [(f"{BUCKET}/in/*", "in/.rolerunner-check"), (f"{BUCKET}/in/a", "in/a")],
)
def test_a_put_is_an_upload_that_is_aborted_once(resource: str, key: str) -> None:
    aws = FakeAws(create_multipart_upload={"UploadId": "u"})
    needed = [
        Permission(action, resource) for action in ("s3:PutObject", "s3:AbortMultipartUpload")
    ]
    assert probe(aws, *needed) == [("yes", ""), ("yes", "")]
    place = {"Bucket": "b", "Key": key}
    assert aws.requests == [
        ("reader", "create_multipart_upload", place),
        ("reader", "abort_multipart_upload", {**place, "UploadId": "u"}),
    ]


@pytest.mark.parametrize(
    ("error", "answer", "left"),
    [
        (refuse("AccessDenied", "AbortMultipartUpload"), "no", "is left"),
        (LOST, "unknown", "may be left"),
    ],
)
def test_an_upload_that_cannot_be_aborted_is_named(
    error: Exception, answer: str, left: str
) -> None:
    aws = FakeAws(create_multipart_upload={"UploadId": "u"}, abort_multipart_upload=error)
    needed = [
        Permission(action, f"{BUCKET}/k") for action in ("s3:PutObject", "s3:AbortMultipartUpload")
    ]
    put, abort = probe(aws, *needed)
    assert put == ("yes", "")
    assert abort[0] == answer
    assert f"the probe's empty multipart upload u of s3://b/k {left};" in abort[1]


@pytest.mark.parametrize(
    ("error", "answer"),
    [(refuse("AccessDenied", "CreateMultipartUpload"), "no"), (LOST, "unknown")],
)
def test_an_upload_that_cannot_begin_proves_nothing_about_its_end(
    error: Exception, answer: str
) -> None:
    needed = [
        Permission(action, f"{BUCKET}/k") for action in ("s3:PutObject", "s3:AbortMultipartUpload")
    ]
    put, abort = probe(FakeAws(create_multipart_upload=error), *needed)
    assert put[0] == answer
    assert abort == ("unknown", "no multipart upload could be started to test it")


def test_without_the_permission_to_abort_a_put_is_not_tried() -> None:
    aws = FakeAws(simulate_principal_policy={"EvaluationResults": [{"EvalDecision": "allowed"}]})
    assert probe(aws, Permission("s3:PutObject", f"{BUCKET}/k")) == [("yes", "")]
    assert [(who, method) for who, method, _ in aws.requests] == [
        ("reader", "simulate_principal_policy")
    ]
    assert aws.requests[0][2] == {
        "PolicySourceArn": READER.arn,
        "ActionNames": ["s3:PutObject"],
        "ResourceArns": [f"{BUCKET}/k"],
    }


@pytest.mark.parametrize(
    "needed",
    [
        Permission("s3:GetObject", f"{BUCKET}/in/*"),
        Permission("s3:GetObject", "arn:aws:s3:::*/k"),
        Permission("s3:GetObject", f"{BUCKET}/*/k"),
        Permission("s3:ListBucket", "arn:aws:s3:::*"),
        listing("in/*"),
        Permission("s3:DeleteObject", f"{BUCKET}/k"),
        Permission("sqs:SendMessage", "*"),
        Permission("s3:ListBucketMultipartUploads", "arn:aws:s3:::*"),
    ],
    ids=lambda each: f"{each.action} {each.resource}",
)
def test_what_cannot_be_tried_is_simulated(needed: Permission) -> None:
    aws = FakeAws(
        simulate_principal_policy={"EvaluationResults": [{"EvalDecision": "implicitDeny"}]}
    )
    assert probe(aws, needed) == [
        ("unknown", "policy simulation returned implicitDeny; a bucket policy may still allow it")
    ]


def test_a_policy_is_simulated_by_the_job_where_the_role_may_not() -> None:
    allowed = {"EvaluationResults": [{"EvalDecision": "allowed"}]}
    aws = FakeAws(
        **{
            "simulate_principal_policy reader": refuse("AccessDenied"),
            "simulate_principal_policy job": allowed,
        }
    )
    assert probe(aws, Permission("sqs:SendMessage", "*")) == [("yes", "")]
    nobody = FakeAws(simulate_principal_policy=refuse("AccessDenied"))
    told = "cannot be tested without a change, and iam:SimulatePrincipalPolicy is not allowed"
    assert probe(nobody, Permission("sqs:SendMessage", "*")) == [("unknown", told)]
    empty = FakeAws(simulate_principal_policy={"EvaluationResults": []})
    assert probe(empty, Permission("sqs:SendMessage", "*")) == [("unknown", told)]


def test_the_jobs_own_role_is_not_simulated() -> None:
    aws = FakeAws()
    assert probe(aws, Permission("sqs:SendMessage", "*"), role=JOB) == [
        ("unknown", "cannot be tested without a change")
    ]
    assert aws.requests == []


def test_a_permission_of_several_steps_is_probed_once_a_role() -> None:
    other = Role("arn:aws:iam::111122223333:role/other", "other")
    steps = [
        Step(name, "x", {}, {"role": role}) for name, role in zip("abc", (READER, READER, other))
    ]
    planned = tuple(PlannedStep(each, {}, {"role": (listing(),)}) for each in steps)
    aws = FakeAws()
    found = list(probe_permissions(Plan(Job("j", tuple(steps)), planned, ()), aws))  # type: ignore[arg-type]
    assert [(each.step, each.answer) for each in found] == [(name, "yes") for name in "abc"]
    assert [who for who, _, _ in aws.requests] == ["reader", "other"]
    assert found[0].as_json()["resource"] == BUCKET


def test_permissions_of_a_role_that_the_step_does_not_have_are_left_out() -> None:
    step = Step("it", "x", {}, {"role": READER})
    planned = PlannedStep(step, {}, {"source_role": (listing(),), "role": (listing(),)})
    found = list(probe_permissions(Plan(Job("j", (step,)), (planned,), ()), FakeAws()))  # type: ignore[arg-type]
    assert len(found) == 1


def test_all_refused_roles_are_listed() -> None:
    roles = [Role(f"arn:aws:iam::111122223333:role/{name}", name) for name in "abc"]
    refusals = {name: RoleRefused("no", role=name) for name in "ac"}
    plan = Plan(Job("j", ()), (), tuple(roles))
    found = list_refused_roles(plan, FakeAws(**refusals))  # type: ignore[arg-type]
    assert found == [refusals["a"], refusals["c"]]
    with pytest.raises(StepError, match="the job itself"):
        list_refused_roles(plan, FakeAws(job=StepError("the job itself")))  # type: ignore[arg-type]


GLUE = "arn:aws:glue:*:111122223333"


def test_what_glue_has_is_read() -> None:
    aws = FakeAws(get_job_run=refuse("EntityNotFoundException", "GetJobRun"))
    needed = (
        Permission("glue:GetTable", f"{GLUE}:table/sales/orders"),
        Permission("glue:GetDatabase", f"{GLUE}:database/sales"),
        Permission("glue:GetJobRun", f"{GLUE}:job/load:daily"),
        Permission("glue:GetDatabase", "arn:aws:glue:*:*:database/sales"),
    )
    assert probe(aws, *needed) == [("yes", "")] * 4
    catalog = {"CatalogId": "111122223333"}
    assert aws.requests == [
        ("reader", "get_table", {**catalog, "DatabaseName": "sales", "Name": "orders"}),
        ("reader", "get_database", {**catalog, "Name": "sales"}),
        ("reader", "get_job_run", {"JobName": "load:daily", "RunId": "jr_rolerunner_check"}),
        ("reader", "get_database", {"Name": "sales"}),
    ]


@pytest.mark.parametrize(
    ("error", "answer", "remedy"),
    [
        (refuse("AccessDeniedException", "GetTable"), "no", "may not glue:GetTable on"),
        (refuse("InternalServiceException", "GetTable"), "unknown", "GetTable: m"),
        (LOST, "unknown", "Could not connect"),
    ],
)
def test_a_refusal_of_glue_is_explained(error: Exception, answer: str, remedy: str) -> None:
    needed = Permission("glue:GetTable", f"{GLUE}:table/sales/orders")
    ((found, told),) = probe(FakeAws(get_table=error), needed)
    assert (found, remedy in told) == (answer, True)


def test_tables_that_are_not_one_are_not_read() -> None:
    aws = FakeAws(simulate_principal_policy={"EvaluationResults": []})
    probe(aws, Permission("glue:GetTable", f"{GLUE}:table/sales/*"))
    probe(aws, Permission("glue:GetTable", f"{GLUE}:catalog"))
    assert {method for _, method, _ in aws.requests} == {"simulate_principal_policy"}


def test_uploads_of_a_bucket_are_listed() -> None:
    aws = FakeAws()
    assert probe(aws, Permission("s3:ListBucketMultipartUploads", BUCKET)) == [("yes", "")]
    assert aws.requests == [("reader", "list_multipart_uploads", {"Bucket": "b", "MaxUploads": 1})]


@pytest.mark.parametrize("resource", ["arn:aws:s3:::*/k", f"{BUCKET}/*/k"])
def test_a_put_is_not_tried_where_its_key_is_not_known(resource: str) -> None:
    aws = FakeAws(simulate_principal_policy={"EvaluationResults": []})
    probe(
        aws,
        *(Permission(action, resource) for action in ("s3:PutObject", "s3:AbortMultipartUpload")),
    )
    assert {method for _, method, _ in aws.requests} == {"simulate_principal_policy"}


def test_an_upload_is_tried_only_for_the_permissions_of_one() -> None:
    aws = FakeAws(
        simulate_principal_policy={"EvaluationResults": []},
        create_multipart_upload={"UploadId": "u"},
    )
    needed = [
        Permission(action, f"{BUCKET}/k")
        for action in ("s3:DeleteObject", "s3:AbortMultipartUpload", "s3:GetObjectTagging")
    ]
    probe(aws, *needed)
    assert [method for _, method, _ in aws.requests] == [
        *["simulate_principal_policy"] * 2,
        "create_multipart_upload",
        "abort_multipart_upload",
        *["simulate_principal_policy"] * 2,
    ]


READ_SECRET = Permission("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:s-??")
USE_KEY = Permission("kms:Decrypt", "arn:aws:kms:*:*:key/k")


def probe_secret(answer: Any) -> list[tuple[str, str]]:
    source = SecretSource("password", "secretsmanager", "s", None, READER)
    plan = Plan(Job("j", ()), (), (), secrets=(PlannedSecret(source, (READ_SECRET, USE_KEY)),))
    aws: Any = FakeAws(get_secret_value=answer)
    aws.require_region = lambda: "eu-west-1"
    found = list(probe_permissions(plan, aws))
    assert [(each.step, each.role, each.action) for each in found] == [
        (source.user, "reader", READ_SECRET.action),
        (source.user, "reader", USE_KEY.action),
    ]
    assert [each.resource for each in found] == [READ_SECRET.resource, USE_KEY.resource]
    return [(each.answer, each.remedy) for each in found]


def refuse_secret(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetSecretValue")


def test_a_secret_is_fetched_to_test_its_permissions() -> None:
    assert probe_secret({"SecretString": "probe-secret-4711"}) == [("yes", ""), ("yes", "")]
    denied = (
        "User: arn:aws:sts::111122223333:assumed-role/reader/s is not authorized to perform: "
        "secretsmanager:GetSecretValue on resource: s"
    )
    read, use = probe_secret(refuse_secret("AccessDeniedException", denied))
    assert (read[0], use) == ("no", ("unknown", "the secret cannot be fetched to test it"))
    assert "the role 'reader' may not secretsmanager:GetSecretValue" in read[1]
    read, use = probe_secret(refuse_secret("AccessDeniedException", "Access to KMS is not allowed"))
    assert (read, use[0]) == (("yes", ""), "no")
    assert "kms:Decrypt" in use[1]
    for answer, remedy in probe_secret(refuse_secret("AccessDeniedException", "no")):
        assert answer == "unknown"
        assert "may not secretsmanager:GetSecretValue on" in remedy
        assert ", or not kms:Decrypt on" in remedy
    for answer, remedy in probe_secret(refuse_secret("ResourceNotFoundException", "none")):
        assert answer == "unknown"
        assert remedy.startswith("there is no such secret in eu-west-1")
        assert remedy.endswith("is named by its whole ARN")


def test_the_permissions_of_notifications_are_probed_without_a_message() -> None:
    send = Permission("sns:Publish", "arn:aws:sns:eu-west-1:111122223333:t")
    told = PlannedNotification(Notification(("failed",), "sns", send.resource, READER), (send,))
    webhook = PlannedNotification(Notification(("failed",), "webhook", "https://w"), (send,))
    aws: Any = FakeAws(
        simulate_principal_policy={"EvaluationResults": [{"EvalDecision": "allowed"}]}
    )
    plan = Plan(Job("j", ()), (), (), notify=(told, told, webhook))
    assert list(probe_permissions(plan, aws)) == [
        ProbeResult("notify", "reader", send.action, send.resource, "yes")
    ]
    assert len(aws.requests) == 1
