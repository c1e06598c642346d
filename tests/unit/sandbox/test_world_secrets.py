"""Secrets and parameters of a sandbox file, and the calls that create them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import MASK
from rolerunner.sandbox.statements import policy_document
from rolerunner.sandbox.world_secrets import (
    SandboxParameter,
    SandboxSecret,
    create_parameter,
    create_secret,
)

ACCOUNT = "111122223333"
ARN = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prod/x-AbCdEf"
GRANT = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Principal": "*"}


class FakeClient:
    """Records the calls of a client."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda **parameters: self.calls.append((name, parameters))


def secret(**values: Any) -> SandboxSecret:
    return SandboxSecret.model_validate(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "text": "y"}, "a secret must have 'name' and 'account', or 'arn'"),
        ({"text": "y"}, "a secret must have 'name' and 'account', or 'arn'"),
        ({"arn": ARN, "name": "x", "text": "y"}, "a secret has either 'arn', or 'name'"),
        ({"name": "x", "account": ACCOUNT}, "exactly one of text, json or binary"),
        (
            {"name": "x", "account": ACCOUNT, "text": "y", "json": {}},
            "exactly one of text, json or binary",
        ),
        ({"arn": ARN[:-7], "text": "y"}, "String should match pattern"),
        ({"name": "x", "account": "1", "text": "y"}, "must be an account id of twelve digits"),
    ],
)
def test_a_secret_has_one_place_and_one_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        secret(**values)
    assert message in str(caught.value)


def test_an_arn_has_all_parts_of_the_place() -> None:
    by_arn = secret(arn=ARN, text="y")
    assert (by_arn.owner, by_arn.home, by_arn.title, by_arn.suffix, by_arn.place) == (
        ACCOUNT,
        "us-east-1",
        "prod/x",
        "AbCdEf",
        ARN,
    )
    by_name = secret(name="x", account=ACCOUNT, text="y")
    assert (by_name.owner, by_name.home, by_name.title, by_name.suffix, by_name.place) == (
        ACCOUNT,
        "",
        "x",
        "",
        f"{ACCOUNT}:x",
    )
    assert (SandboxSecret.is_whole_arn(ARN), SandboxSecret.is_whole_arn(ARN[:-7])) == (True, False)


def test_a_secret_is_created_with_its_suffix_and_policy() -> None:
    client = FakeClient()
    create_secret(secret(arn=ARN, json={"a": "wS4-in-json"}, policy=[GRANT]), client)
    assert client.calls == [
        (
            "create_secret",
            {
                "Name": "prod/x",
                "SecretString": '{"a": "wS4-in-json"}',
                "Tags": [{"Key": "rolerunner:suffix", "Value": "AbCdEf"}],
            },
        ),
        (
            "put_resource_policy",
            {"SecretId": "prod/x", "ResourcePolicy": policy_document([GRANT])},
        ),
    ]
    assert redact_text('{"a": "wS4-in-json"}') == MASK


def test_a_binary_secret_is_bytes() -> None:
    client = FakeClient()
    create_secret(secret(name="x", account=ACCOUNT, binary="wS4-binary"), client)
    assert client.calls == [
        ("create_secret", {"Name": "x", "SecretBinary": b"wS4-binary", "Tags": []})
    ]


@pytest.mark.parametrize(("kind", "shown"), [("SecureString", MASK), ("String", "wS4-parameter")])
def test_a_parameter_is_secret_if_it_is_a_secure_string(kind: Any, shown: str) -> None:
    client = FakeClient()
    parameter = SandboxParameter(name="/a", account=ACCOUNT, text="wS4-parameter", type=kind)
    create_parameter(parameter, client)
    assert client.calls == [
        ("put_parameter", {"Name": "/a", "Value": "wS4-parameter", "Type": kind})
    ]
    assert redact_text("wS4-parameter") == shown
