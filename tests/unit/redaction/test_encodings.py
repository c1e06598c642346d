from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from rolerunner.redaction.encodings import MIN_SECRET_LENGTH, list_encoded_forms


@pytest.mark.parametrize("prefix", [b"", b"x", b"xy"])
@pytest.mark.parametrize("suffix", [b"", b"y", b"yz"])
def test_base64_is_found_at_each_alignment(prefix: bytes, suffix: bytes) -> None:
    encoded = base64.b64encode(prefix + b"s3cr3t-value" + suffix).decode()
    assert any(form in encoded for form in list_encoded_forms("s3cr3t-value"))


@pytest.mark.parametrize("secret", ['p"ss/wörd', "line one\nline two", "back\\slash-日本"])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("before", ["", "x", "xy"])
def test_a_document_in_base64_is_found(secret: str, before: str, *, ascii_only: bool) -> None:
    text = json.dumps({before: secret}, ensure_ascii=ascii_only)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(text.encode()).decode()
        assert any(form in encoded for form in list_encoded_forms(secret))


def test_a_url_in_a_parameter_of_a_url_is_found() -> None:
    secret = "p@ss wörd/+"
    for inner in (quote(secret, safe=""), quote(secret, safe="").lower()):
        url = f"https://login.example.com/?next={quote(f'https://host/?key={inner}', safe='')}"
        assert any(form in url for form in list_encoded_forms(secret))


def test_each_long_line_is_a_form() -> None:
    forms = list_encoded_forms("first line\nshort\nsecond line\n")
    assert {"first line", "second line"} <= set(forms)
    assert "short" not in forms


def test_a_whole_file_is_found_as_it_is_and_as_json() -> None:
    text = '"' + "x" * (32 << 10)
    assert list_encoded_forms(text) == [text, json.dumps(text)[1:-1]]


def test_forms_that_are_too_short_are_left_out() -> None:
    assert min(map(len, list_encoded_forms("abcd"))) >= MIN_SECRET_LENGTH


@pytest.mark.parametrize(
    "text",
    [
        "https://host/?key=p@ss/w%C3%B6rd%20x",  # as requests writes a URL
        "insert into t values ('it''s p@ss')",
        '"a ""quoted"" p@ss","b"',
    ],
)
def test_libraries_quote_in_their_own_ways(text: str) -> None:
    secrets = ("p@ss/wörd x", "it's p@ss", 'a "quoted" p@ss')
    forms = [form for secret in secrets for form in list_encoded_forms(secret)]
    assert any(form in text for form in forms if not form.isalpha())


@pytest.mark.parametrize("width", [57, 48])
@pytest.mark.parametrize("length", [58, 200, 1000])
def test_base64_is_found_in_lines(width: int, length: int) -> None:
    secret = "".join(f"{number:03x}-" for number in range(1000))[:length]
    forms = list_encoded_forms(secret)
    lines = [
        base64.b64encode(secret[start : start + width].encode()).decode()
        for start in range(0, length, width)
    ]
    assert all(any(form in line for form in forms) for line in lines if len(line) >= 8)


def test_a_short_secret_has_no_lines_of_base64() -> None:
    encoded = base64.b64encode(b"s3cr3t-value").decode()
    assert encoded in list_encoded_forms("s3cr3t-value")
    assert base64.b64encode(b"s3cr3t-").decode().rstrip("=") not in list_encoded_forms(
        "s3cr3t-value"
    )
