"""The parts of hints that refusals of roles and of services share."""

from __future__ import annotations

import re
from typing import Any, Optional

import pytest

from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.error_hints import (
    DenialMessage,
    format_statement,
    hint_clock_skew,
    hint_code,
    hint_explicit_deny,
    hint_ids,
    join_lines,
)

USER = "arn:aws:sts::111122223333:assumed-role/job/session"
PERFORM = f"User: {USER} is not authorized to perform:"


def error(message: str, code: str = "AccessDenied", **fields: Any) -> AwsError:
    return AwsError(code, message, "GetObject", **fields)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f"{PERFORM} s3:GetObject on resource: arn:aws:s3:::b/k because no policy allows it.",
            DenialMessage(
                USER, "s3:GetObject", "arn:aws:s3:::b/k", "because no policy allows it", False
            ),
        ),
        (
            f'{PERFORM} s3:GetObject on resource: "arn:aws:s3:::b/a key" with an explicit deny',
            DenialMessage(
                USER, "s3:GetObject", "arn:aws:s3:::b/a key", "with an explicit deny", True
            ),
        ),
        (f"{PERFORM} iam:GetRole.", DenialMessage(USER, "iam:GetRole", "", "", False)),
        (
            "User: is not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::b.",
            DenialMessage("", "s3:ListBucket", "arn:aws:s3:::b", "", False),
        ),
        ("Access Denied", None),
    ],
)
def test_a_denial_is_parsed_from_its_message(
    message: str, expected: Optional[DenialMessage]
) -> None:
    assert DenialMessage.parse(message) == expected


@pytest.mark.parametrize(
    ("phrase", "policy"),
    [
        ("in a service control policy", "service control policy"),
        ("in an identity-based policy", "identity-based policy"),
        ("in a resource-based policy", "resource-based policy"),
    ],
)
def test_the_policy_of_an_explicit_deny_is_named(phrase: str, policy: str) -> None:
    hint = hint_explicit_deny(error(f"{PERFORM} s3:GetObject with an explicit deny {phrase}"))
    assert hint == f"AWS names an explicit deny in the {policy}: it overrides every Allow."
    assert hint_explicit_deny(error("Access Denied")) == ""


def test_ids_are_listed_where_the_error_has_them() -> None:
    command = "aws sts decode-authorization-message --encoded-message abc-1"
    told = "Encoded authorization failure message: abc-1 authorization ID: id-2"
    assert list(hint_ids(error(told, request_id="r-3"))) == [
        f"the message is encoded; read it with: {command}",
        "authorization id id-2",
        "request id r-3",
    ]
    assert list(hint_ids(error("Access Denied"))) == [""]


def test_a_code_has_its_hint_and_the_request_id() -> None:
    archived = error("", "InvalidObjectState", request_id="r-1")
    assert hint_code(archived) == (
        "the object is archived, in Glacier or an archive tier: restore it first, by a step with"
        " s3.restore, and wait for it by s3.wait with 'restored: true'\nrequest id r-1"
    )
    assert hint_code(error("", "Unheard")) == ""


def test_both_clocks_are_shown() -> None:
    hint = hint_clock_skew(error("", date="Thu, 01 Jan 2026 00:00:00 GMT"))
    assert "AWS has Thu, 01 Jan 2026 00:00:00 GMT; set this machine's clock" in hint
    assert re.search(r"this machine has \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", hint)
    assert "AWS has the time in its message" in hint_clock_skew(error(""))


def test_empty_lines_are_left_out() -> None:
    assert join_lines(["a", "", "b"]) == "a\nb"


def test_a_statement_is_one_line_of_json_in_its_own_letters() -> None:
    assert format_statement({"Resource": "ü"}) == '{"Resource": "ü"}'
