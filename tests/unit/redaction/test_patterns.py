"""Secrets that nobody registered are masked by their form."""

from __future__ import annotations

import pytest

from rolerunner.redaction.patterns import mask_patterns
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import MASK


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://b/k?X-Amz-Security-Token=AAAAAAAAAAAA&X-Amz-Signature=0123456789ab",
         f"https://b/k?X-Amz-Security-Token={MASK}&X-Amz-Signature={MASK}"),
        ("redirect=https%3A%2F%2Fb%2Fk%3FX-Amz-Signature%3D0123456789ab",
         f"redirect=https%3A%2F%2Fb%2Fk%3FX-Amz-Signature%3D{MASK}"),
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {MASK}"),
        ("postgres://user:hunter2@db/x", f"postgres://user:{MASK}@db/x"),
        ("key ASIAQQQQQQQQQQQQQQQQ", f"key {MASK}"),
        ('{"password": "a\\"b c", "x": 1}', f'{{"password": "{MASK}", "x": 1}}'),
        ("<SecretAccessKey>abc</SecretAccessKey>", f"<SecretAccessKey>{MASK}</SecretAccessKey>"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----!", f"{MASK}!"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P", MASK),
    ],
)  # fmt: skip
def test_looks(text: str, shown: str) -> None:
    assert redact_text(text) == shown


@pytest.mark.parametrize(
    "text",
    ["arn:aws:secretsmanager:eu-west-1:444455556666:secret:db-AbCdEf",
     "the listing repeats a continuation token: abcdefghijk", "NextToken=abcdefghijk",
     "password: ${{ params.password }}", "basic authentication", "s3://bucket/user@host/key",
     "a secret: something"],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("token=1234567", "token=1234567"),
        ("token=12345678", f"token={MASK}"),
        ("token='1'", f"token='{MASK}'"),
        ("token=${{ params.token }}", "token=${{ params.token }}"),
        (f"token={MASK}", f"token={MASK}"),
        ("Bearer abcdefghijklmnop", f"Bearer {MASK}"),
        ("Bearer abcdefghijklmno", "Bearer abcdefghijklmno"),
        ("Bearer abcdefghijklmno1", f"Bearer {MASK}"),
        ("Bearer abcdefghijklmn1", "Bearer abcdefghijklmn1"),
        ("AKIA" + "Q" * 15, "AKIA" + "Q" * 15),
        ("AKIA" + "Q" * 16, MASK),
        ("AKIA" + "Q" * 17, "AKIA" + "Q" * 17),
        ("-----BEGIN PRIVATE KEY-----\ncut off", MASK),
        ("-----BEGIN PUBLIC KEY-----\nMII", "-----BEGIN PUBLIC KEY-----\nMII"),
        ("https://user@host/", "https://user@host/"),
        ("https://user:word@host/", f"https://user:{MASK}@host/"),
    ],
)
def test_a_form_is_masked_from_its_least_length_on(text: str, masked: str) -> None:
    assert mask_patterns(text) == masked


def test_quoted_values_end_at_their_own_quote() -> None:
    assert mask_patterns('password="a\'b c" x') == f'password="{MASK}" x'
    assert mask_patterns(r"{\"password\": \"a b\", \"x\": 1}") == (
        rf"{{\"password\": \"{MASK}\", \"x\": 1}}"
    )
