from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
)

from rolerunner.errors import RoleRefused, StepError, UsageError
from rolerunner.model import Role
from rolerunner.sessions.credentials import JobCredentials, RoleCredentials
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.lease import LeaseRequest
from rolerunner.sessions.sts import (
    StsClient,
    build_assume_request,
    check_session_arn,
    format_session_name,
)

ARN = "arn:aws:iam::111122223333:role/team/reader"
SESSION_ARN = "arn:aws:sts::111122223333:assumed-role/reader/job"
ROLE = Role(ARN, "reader", region="eu-west-1")


def assumed(arn: str = SESSION_ARN) -> dict[str, Any]:
    keys = {
        "AccessKeyId": "AKID-OF-UNIT-TESTS",
        "SecretAccessKey": "key-of-unit-tests",
        "SessionToken": "token-of-unit-tests",
    }
    return {"Credentials": keys, "AssumedRoleUser": {"Arn": arn}}


def refuse(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "AssumeRole")


class FakeAws:
    """Stands for the clients, their client of STS, and the caller's identity."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)

    def sts_client(self, *_: Any) -> FakeAws:
        return self

    def assume_role(self, **_: Any) -> Any:
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    def find_arn(self) -> str:
        return "arn:aws:sts::999988887777:assumed-role/job/x"

    def find_role_arn(self) -> str:
        return "arn:aws:iam::999988887777:role/service/job"


def create_client(aws: Any) -> StsClient:
    return StsClient(aws, aws, lambda: "eu-west-1", session_name="job", clock=lambda: 100.0)


def create_source(*tokens: str) -> JobCredentials:
    remaining = list(tokens or ("token-of-the-source",))
    return JobCredentials(
        lambda: Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests", remaining.pop(0)).to_credentials()
    )


def test_a_lease_lasts_from_the_request_for_the_roles_duration() -> None:
    client = create_client(FakeAws(assumed()))
    lease = client.assume(LeaseRequest(ROLE, create_source()))
    assert (lease.began, lease.expires_at) == (100.0, 100.0 + ROLE.duration)
    assert (lease.keys.token, lease.session_arn) == ("token-of-unit-tests", SESSION_ARN)
    assert client.count_calls(ROLE) == 1


def test_an_expired_source_is_loaded_again_once() -> None:
    client = create_client(FakeAws(refuse("ExpiredToken"), assumed()))
    source = create_source("token-one-of-unit-tests", "token-two-of-unit-tests")
    assert client.assume(LeaseRequest(ROLE, source)).keys.token == "token-of-unit-tests"
    assert (source.token, client.count_calls(ROLE)) == ("token-two-of-unit-tests", 2)


def test_a_source_that_expires_twice_is_a_refusal() -> None:
    client = create_client(FakeAws(refuse("ExpiredToken"), refuse("ExpiredToken")))
    with pytest.raises(RoleRefused, match="could not be assumed") as refused:
        client.assume(
            LeaseRequest(ROLE, create_source("token-one-of-unit-tests", "token-two-of-unit-tests"))
        )
    assert "have expired" in refused.value.hint


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (refuse("AccessDenied"), "RoleRefused"),
        (refuse("RegionDisabledException"), "RegionDisabledException"),
        (EndpointConnectionError(endpoint_url="https://sts"), "StsUnreachable"),
        (NoRegionError(), "NoRegionError"),
        (StepError("no client", type="ClientFailed"), "ClientFailed"),
        (RuntimeError("parser"), "NotSts"),
        ({}, "NotSts"),
        (assumed("arn:aws:sts::444455556666:assumed-role/reader/job"), "WrongAccount"),
        (assumed("arn:aws:sts::111122223333:assumed-role/writer/job"), "WrongRole"),
        (assumed("arn:aws:iam::111122223333:user/reader"), "NotSts"),
        (assumed(""), "NoRole"),
    ],
)
def test_every_failure_is_a_refusal_with_a_type(response: Any, kind: str) -> None:
    with pytest.raises(RoleRefused) as refused:
        create_client(FakeAws(response)).assume(LeaseRequest(ROLE, create_source()))
    assert (refused.value.type, refused.value.role) == (kind, "reader")


def test_a_denial_names_the_callers_role_with_its_path() -> None:
    with pytest.raises(RoleRefused) as refused:
        create_client(FakeAws(refuse("AccessDenied"))).assume(LeaseRequest(ROLE, create_source()))
    assert '"arn:aws:iam::999988887777:role/service/job"' in refused.value.hint


def test_a_usage_error_is_no_refusal() -> None:
    with pytest.raises(UsageError):
        create_client(FakeAws(UsageError("no region"))).assume(LeaseRequest(ROLE, create_source()))


def test_a_job_without_credentials_is_a_refusal() -> None:
    def load() -> Any:
        raise NoCredentialsError

    with pytest.raises(RoleRefused, match="no AWS credentials of its own") as refused:
        create_client(FakeAws()).assume(LeaseRequest(ROLE, JobCredentials(load)))
    assert refused.value.type == "NoCredentials"


def test_credentials_that_cannot_be_loaded_are_a_refusal() -> None:
    def load() -> Any:
        raise CredentialRetrievalError(provider="sso", error_msg="expired")

    with pytest.raises(RoleRefused, match=r"cannot be loaded: .*sso.*expired") as refused:
        create_client(FakeAws()).assume(LeaseRequest(ROLE, JobCredentials(load)))
    assert refused.value.type == "NoCredentials"


def create_hub(client: StsClient) -> RoleCredentials:
    hub = Role("arn:aws:iam::111122223333:role/team/hub", "hub", region="eu-west-1")
    return RoleCredentials(hub, create_source(), client.assume, lambda: 100.0)


def test_the_refusal_of_a_chained_role_names_the_role_that_requested_it() -> None:
    session = "arn:aws:sts::111122223333:assumed-role/hub/job"
    client = create_client(FakeAws(assumed(session), refuse("AccessDenied")))
    hub = create_hub(client)
    with pytest.raises(RoleRefused, match="'reader' could not be assumed") as refused:
        client.assume(LeaseRequest(ROLE, hub))
    assert refused.value.asked_by == session
    assert '"arn:aws:iam::111122223333:role/team/hub"' in refused.value.hint
    assert (client.count_calls(hub.role), client.count_calls(ROLE)) == (1, 1)


def test_a_refused_source_role_is_named_and_sts_is_not_asked_again() -> None:
    client = create_client(FakeAws(refuse("AccessDenied")))
    with pytest.raises(RoleRefused, match="its source role 'hub' was refused") as refused:
        client.assume(LeaseRequest(ROLE, create_hub(client)))
    assert (refused.value.type, refused.value.through) == ("SourceRefused", "hub")
    assert "'hub' could not be assumed" in refused.value.hint
    assert client.count_calls(ROLE) == 0


def test_a_request_has_only_what_the_role_sets() -> None:
    assert build_assume_request(ROLE, "job") == {
        "RoleArn": ARN,
        "RoleSessionName": "job",
        "DurationSeconds": ROLE.duration,
    }
    full = Role(ARN, external_id="x", tags=(("team", "a"),), policy_arns=("arn:p",), step="read")
    request = build_assume_request(full, "job")
    assert request["RoleSessionName"] == "job-read"
    assert request["Tags"] == [{"Key": "team", "Value": "a"}]
    assert (request["ExternalId"], request["PolicyArns"]) == ("x", [{"arn": "arn:p"}])


@pytest.mark.parametrize(
    ("text", "name"),
    [("a b/c", "a-b-c"), ("x" * 65, "x" * 64), ("a", "rolerunner-a"), ("ab", "ab"), ("é1", "-1")],
)
def test_session_names_are_valid(text: str, name: str) -> None:
    assert format_session_name(text) == name


def test_a_role_may_be_of_the_account_that_the_spec_names() -> None:
    there = SESSION_ARN.replace("111122223333", "444455556666")
    check_session_arn(Role(ARN, account="444455556666"), there)
    with pytest.raises(RoleRefused, match="the spec names 444455556666"):
        check_session_arn(Role(ARN, account="444455556666"), SESSION_ARN)


def test_a_foreign_arn_is_cut_in_the_message() -> None:
    with pytest.raises(ValueError, match=f"^'{'x' * 200}' is not the ARN of an assumed role$"):
        check_session_arn(ROLE, "x" * 201)


def test_a_role_has_a_session_name_of_its_own() -> None:
    named = build_assume_request(Role(ARN, session_name="own", step="read"), "job")
    assert named["RoleSessionName"] == "own"
