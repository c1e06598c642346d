"""Names under which values are secrets."""

from __future__ import annotations

import pytest

from rolerunner.redaction.redact import redact
from rolerunner.redaction.secret_names import is_secret_name
from rolerunner.redaction.secrets import MASK


@pytest.mark.parametrize(
    "name",
    ["SecretAccessKey", "secret_access_key", "SessionToken", "password", "DB_PASSWORD",
     "masterUserPassword", "token", "access_token", "apiKey", "client_secret", "private-key",
     "Authorization", "SecretString", "passphrase",
     "authorizationToken"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert redact({"outer": [{name: "some value"}]}) == {"outer": [{name: MASK}]}


@pytest.mark.parametrize(
    "name",
    ["NextToken", "nextToken", "ContinuationToken", "clientRequestToken", "total_tokens",
     "max_token", "AccessKeyId", "SecretArn", "secret_name", "password_policy", "key", "LockToken",
     "PaginationToken", "UpdateToken", "CreationToken", "ConditionalToken", "count"],
)  # fmt: skip
def test_names_that_are_none(name: str) -> None:
    assert not is_secret_name(name)
    assert redact({name: "some value"}) == {name: "some value"}


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("token", True),
        ("X-Amz-Security-Token", True),
        ("start_token", False),
        ("restart_token", False),
        ("tokens", False),
        ("secret", True),
        ("secrets", False),
        ("my_secret", False),
        ("Set-Cookie", True),
        ("cookie", False),
        ("", False),
    ],
)
def test_a_name_counts_by_its_whole_or_its_end(name: str, is_secret: bool) -> None:
    assert is_secret_name(name) is is_secret
