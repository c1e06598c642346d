"""Redaction before all output: known secrets in any encoding, others by name and shape."""

import base64
import html
import json
import logging
import pickle
import random
import shlex
import string
import sys
import time
import urllib.parse
from collections.abc import Callable
from typing import Any
from xml.sax import saxutils

import pytest

from rolerunner.redaction import secrets
from rolerunner.redaction.redact import redact, redact_text
from rolerunner.redaction.sealing import has_secret_text, has_secret_value, seal_secrets
from rolerunner.redaction.secret_names import is_secret_name
from rolerunner.redaction.secrets import MASK, register_credential, register_secret
from rolerunner.redaction.tracebacks import RedactingFormatter

SECRETS = [
    "Blue-kettle-4711",
    "p@ss \"word\" 'x' <&> ö/+\\",
    "qzjx",
    "k" * 40,
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "two\nlines of\n text",
]


def _base64_at(text: str, alignment: int) -> str:
    return base64.b64encode(b"~" * alignment + text.encode() + b"~" * 4).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": json.dumps,
    "json, not ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps({"a": text})),
    "quote": urllib.parse.quote,
    "quote all": lambda text: urllib.parse.quote(text, safe=""),
    "quote_plus": urllib.parse.quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after a byte": lambda text: _base64_at(text, 1),
    "base64 after two": lambda text: _base64_at(text, 2),
    "base64 after three": lambda text: _base64_at(text, 3),
    "base64, URL-safe": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "html": html.escape,
    "xml": saxutils.escape,
    "xml attribute": saxutils.quoteattr,
    "shell": shlex.quote,
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "ascii": ascii,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", SECRETS)
def test_each_encoding_is_masked(text: str, encoding: str) -> None:
    kept = register_secret(text)
    encoded = ENCODINGS[encoding](text)
    shown = redact_text(f"before {encoded} after")
    assert MASK in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    core = (
        encoded.strip("\"'=")
        if "base64" not in encoding
        else base64.b64encode(text.encode()).decode().rstrip("=")[:-1]
    )
    assert core not in shown
    assert kept == text


def test_lines_of_a_secret_of_many_lines_are_masked_one_by_one() -> None:
    key = register_secret(
        "-----BEGIN KEY-----\nQUJDREVGR0hJSktMTU5P\nUFFSU1RVVldYWVoxMjM0\n-----END KEY-----\n"
    )
    for line in key.splitlines()[1:3]:
        assert line not in redact_text(f"  at 3: {line}")


def test_a_long_line_is_searched_whole() -> None:
    token = register_secret(
        "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=900))
    )
    text = "x" * 999_983 + token + "y" * 1_000_003
    assert redact_text(text) == "x" * 999_983 + MASK + "y" * 1_000_003


@pytest.mark.parametrize("cut", ["{:.20}...", "it was '{:.20}…'", "{:.20}", "{:.15}...EXAMPLEKEY'"])
def test_a_secret_that_was_shortened_is_masked(cut: str) -> None:
    key = register_secret("wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLEKEY")
    shown = redact_text("value " + cut.format(key))
    assert "wJalr" not in shown
    assert "EXAMPLEKEY" not in shown


def test_what_only_begins_like_a_secret_stays() -> None:
    kept = register_secret("https://hooks.example.com/services/T0001/secretpart")
    assert (
        redact_text("see https://hooks.example.com/services/T0002/other")
        == "see https://hooks.example.com/services/T0002/other"
    )
    assert redact_text(f"POST {kept}") == f"POST {MASK}"


def test_a_short_secret_is_masked_as_a_whole_value_only() -> None:
    kept = register_secret("ab1")
    assert redact(["ab1", "cab1net", {"x": "ab1"}]) == [MASK, "cab1net", {"x": MASK}]
    assert kept == "ab1"


def test_numbers_that_are_a_secret_are_masked() -> None:
    kept = register_secret("471142")
    assert redact({"pin": 471142, "count": 3, "done": True}) == {
        "pin": MASK,
        "count": 3,
        "done": True,
    }
    assert kept == "471142"


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
     "PaginationToken", "count"],
)  # fmt: skip
def test_names_that_are_none(name: str) -> None:
    assert not is_secret_name(name)
    assert redact({name: "some value"}) == {name: "some value"}


def test_pairs_of_name_and_value() -> None:
    assert redact(
        {"environment": [{"name": "DB_PASSWORD", "value": "x1"}, {"name": "STAGE", "value": "dev"}]}
    ) == {
        "environment": [{"name": "DB_PASSWORD", "value": MASK}, {"name": "STAGE", "value": "dev"}]
    }


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


def test_sealed_values_are_known_from_then_on() -> None:
    sealed = seal_secrets(
        {"Credentials": {"SecretAccessKey": "oF2wq8Zk1", "AccessKeyId": "A"}, "count": 3}
    )
    assert sealed == {
        "Credentials": {"SecretAccessKey": "oF2wq8Zk1", "AccessKeyId": "A"},
        "count": 3,
    }
    assert redact_text("login with oF2wq8Zk1 failed") == f"login with {MASK} failed"
    assert has_secret_value(sealed)
    assert not has_secret_value({"a": ["b"]})
    assert seal_secrets({"pin": 123456, "ok": True, "none": None}, whole=True) == {
        "pin": "123456",
        "ok": True,
        "none": None,
    }


def test_holds_secret_finds_texts_too() -> None:
    assert has_secret_text({"text": '{"password": "x"}'})
    assert has_secret_text([[seal_secrets({"token": "abc"})]])
    assert not has_secret_text({"text": "nothing", "count": 1})


def test_deep_and_circular_values_end() -> None:
    inner: list[Any] = []
    deep = inner
    for _ in range(5000):
        inner.append([])
        inner = inner[0]
    assert redact(deep)
    circle: dict[str, Any] = {}
    circle["self"] = circle
    assert redact(circle)["self"] is not None


def test_a_secret_value_travels_and_a_credential_does_not() -> None:
    assert pickle.loads(pickle.dumps(register_secret("travels-far"))) == "travels-far"
    with pytest.raises(TypeError):
        pickle.dumps(register_credential("stays-here-1"))
    assert repr(register_secret("travels-far")) == f"'{MASK}'"


def test_credentials_are_forgotten_with_their_last_use() -> None:
    before = secrets.count_secrets()
    key = register_credential("a-credential-of-a-run-that-ended")
    assert redact_text(f"x {key}") == f"x {MASK}"
    del key
    assert secrets.count_secrets() == before


def test_log_records_lose_their_secrets() -> None:
    kept = register_secret("in-a-traceback-4711")
    try:
        raise RuntimeError(f"login with {kept}")
    except RuntimeError:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 0, "failed for %s", (kept,), sys.exc_info()
        )
    shown = RedactingFormatter().format(record)
    assert "in-a-traceback" not in shown
    assert "RuntimeError: login with [redacted]" in shown


def test_it_costs_little_where_nothing_is_found() -> None:
    kept = [
        register_credential("".join(random.Random(n).choices(string.ascii_letters, k=400)))
        for n in range(150)
    ]  # 50 roles
    line = (
        "the object s3://bucket/orders/2026/01/31/part-0001.csv could not be read: there is none "
        * 2
    )
    redact_text(line)
    began = time.process_time()
    for _ in range(1000):
        redact_text(line)
    # A thousand lines take some 5 ms: no form of the secrets is searched for by itself.
    assert time.process_time() - began < 0.5
    assert len(kept) == 150


def test_a_text_that_holds_a_secret_is_sealed_whole() -> None:
    kept = register_secret("Blue-kettle-4711")
    assert has_secret_value(seal_secrets({"text": f"login with {kept}"}))
    assert redact(seal_secrets({"text": f"login with {kept}", "other": "x"})) == {
        "text": MASK,
        "other": "x",
    }
