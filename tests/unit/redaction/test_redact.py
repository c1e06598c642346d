"""Redaction before all output: known secrets in any encoding, others by name and shape."""

import base64
import html
import json
import shlex
import urllib.parse
from collections.abc import Callable
from typing import Any
from xml.sax import saxutils

import pytest

from rolerunner.redaction.redact import redact, redact_text
from rolerunner.redaction.secrets import MASK, register_secret

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


def test_pairs_of_name_and_value() -> None:
    assert redact(
        {"environment": [{"name": "DB_PASSWORD", "value": "x1"}, {"name": "STAGE", "value": "dev"}]}
    ) == {
        "environment": [{"name": "DB_PASSWORD", "value": MASK}, {"name": "STAGE", "value": "dev"}]
    }


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


def test_the_text_itself_is_shown_whatever_its_class_prints() -> None:
    class Named(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise ValueError("no text")

    secret = register_secret("Blue-kettle-4713")
    assert redact({"a": Named("plain")}) == {"a": "plain"}
    assert redact([Named(f"with {secret}")]) == [f"with {MASK}"]
