"""Refusals of roles for which STS returned no usable response."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
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
        (ProxyConnectionError(proxy_url="x"), "ProxyConnectionError", "HTTPS_PROXY or HTTP_PROXY"),
        (SSLError(endpoint_url="x", error="self-signed"), "SSLError", "AWS_CA_BUNDLE"),
    ],
)
def test_a_connection_that_fails(error: BotoCoreError, kind: str, hint: str) -> None:
    refused = role_errors.explain_failed_connection(ROLE, "eu-west-1", error)
    assert refused.type == kind
    assert hint in refused.hint
    assert str(error) in refused.message


def test_a_client_that_cannot_be_created() -> None:
    error = StepError("no such profile", hint="set AWS_PROFILE", type="NoProfile")
    refused = role_errors.explain_client_failure(ROLE, error)
    assert (refused.role, refused.type, refused.hint) == ("reader", "NoProfile", "set AWS_PROFILE")
    assert refused.message == "the role 'reader' could not be assumed: no such profile"


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (NoCredentialsError(), "the job has no AWS credentials of its own", "aws sso login"),
        (NoRegionError(), "cannot be loaded: You must specify a region.", "aws sso login"),
        (RuntimeError("still\n expired"), "cannot be loaded: still expired", "AWS_PROFILE"),
        (EOFError(), "the profile asks for an MFA code", "AWS_PROFILE"),
        (KeyError("Token"), "cannot be loaded: KeyError: 'Token'", "AWS_PROFILE"),
        (FileNotFoundError(2, "No such file", "/x"), "loaded: No such file: /x", "AWS_PROFILE"),
        (PermissionError(13, "Not allowed"), "cannot be loaded: Not allowed", "AWS_PROFILE"),
        (
            json.JSONDecodeError("no", "key-of-unit-tests", 0),
            "is not JSON",
            "credential_process",
        ),
        (
            CredentialRetrievalError(provider="custom-process", error_msg="key-of-unit-tests"),
            "cannot be loaded: the credential_process of the profile failed",
            "by hand",
        ),
        (
            CredentialRetrievalError(
                provider="custom-process", error_msg="Missing required key in response: 'X'"
            ),
            "Missing required key",
            "AWS_PROFILE",
        ),
    ],
)
def test_credentials_of_the_job_that_cannot_be_loaded(
    error: Exception, message: str, hint: str
) -> None:
    refused = role_errors.explain_failed_credentials(error, "ops")
    assert message in refused.message
    assert ("(profile 'ops')" in refused.message) is not isinstance(error, NoCredentialsError)
    assert hint in refused.hint
    assert (refused.role, refused.type) == ("job", "NoCredentials")
    assert "key-of-unit-tests" not in refused.message
    other = role_errors.explain_missing_credentials(ROLE, refused)
    assert other.message == f"the role 'reader' could not be assumed: {refused.message}"
    assert (other.role, other.type, other.hint) == ("reader", "NoCredentials", refused.hint)


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
