"""Refusals of roles for which STS returned no usable response."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoRegionError,
    ProxyConnectionError,
    ReadTimeoutError,
)

from rolerunner.errors import RoleRefused, StepError
from rolerunner.model import Role
from rolerunner.sessions import role_errors

ROLE = Role("arn:aws:iam::111122223333:role/reader", "reader")
SOURCE = Role("arn:aws:iam::111122223333:role/hub", "hub")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("Credentials"), "it has no 'Credentials'"),
        (ValueError("no XML\nat line 1"), "no XML"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 300), "x" * 200),
    ],
)
def test_a_response_that_is_not_of_sts(error: Exception, reason: str) -> None:
    refused = role_errors.explain_invalid_response(ROLE, "eu-west-1", error)
    assert refused.message == (
        f"the role 'reader' could not be assumed: the response is not one of STS: {reason}"
    )
    assert (refused.role, refused.type) == ("reader", "NotSts")
    assert "responds for STS in eu-west-1" in refused.hint


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (ConnectTimeoutError(endpoint_url="x"), "StsUnreachable", "no route to STS in eu-west-1"),
        (EndpointConnectionError(endpoint_url="x"), "StsUnreachable", "an STS interface endpoint"),
        (ReadTimeoutError(endpoint_url="x"), "StsUnreachable", "or a NAT gateway"),
        (NoRegionError(), "NoRegionError", "set AWS_REGION, or 'region' on the role"),
        (ProxyConnectionError(proxy_url="x"), "ProxyConnectionError", ""),
    ],
)
def test_a_connection_that_fails(error: BotoCoreError, kind: str, hint: str) -> None:
    refused = role_errors.explain_failed_connection(ROLE, "eu-west-1", error)
    assert refused.type == kind
    assert hint in refused.hint
    assert bool(hint) is bool(refused.hint)
    assert str(error) in refused.message


def test_a_client_that_cannot_be_created() -> None:
    error = StepError("no such profile", hint="set AWS_PROFILE", type="NoProfile")
    refused = role_errors.explain_client_failure(ROLE, error)
    assert (refused.role, refused.type, refused.hint) == ("reader", "NoProfile", "set AWS_PROFILE")
    assert refused.message == "the role 'reader' could not be assumed: no such profile"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "the job has no AWS credentials of its own"),
        (NoRegionError(), "the job's own credentials cannot be loaded: You must specify a region."),
    ],
)
def test_a_job_without_credentials(error: BotoCoreError | None, reason: str) -> None:
    refused = role_errors.explain_missing_credentials(ROLE, error)
    assert refused.message == f"the role 'reader' could not be assumed: {reason}"
    assert refused.type == "NoCredentials"
    assert "aws sso login" in refused.hint


def test_a_refused_source_names_the_first_refused_role_of_the_chain() -> None:
    first = RoleRefused("no trust", role="hub", hint="trust it", asked_by="arn:job")
    refused = role_errors.explain_refused_source(ROLE, SOURCE, first)
    assert refused.message.endswith("its source role 'hub' was refused")
    assert (refused.through, refused.asked_by, refused.hint) == ("hub", "arn:job", "no trust")
    last = role_errors.explain_refused_source(Role("arn:x", "far"), ROLE, refused)
    assert last.through == "hub"
    assert last.type == "SourceRefused"


def test_a_session_of_another_account_or_role_is_not_used() -> None:
    account = role_errors.explain_wrong_account(ROLE, "444455556666", "111122223333")
    assert "in account 444455556666, but the spec names 111122223333" in account.message
    assert account.type == "WrongAccount"
    other = role_errors.explain_wrong_role(ROLE, "writer")
    assert f"a session of the role 'writer' for the role 'reader' ({ROLE.arn})" in other.message
    assert (other.type, other.role) == ("WrongRole", "reader")
    assert "AWS_ENDPOINT_URL_STS" in other.hint
