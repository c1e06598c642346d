from __future__ import annotations

import base64
import json

import pytest

from rolerunner.redaction.encodings import MIN_SECRET_LENGTH, list_encoded_forms


@pytest.mark.parametrize("prefix", [b"", b"x", b"xy"])
@pytest.mark.parametrize("suffix", [b"", b"y", b"yz"])
def test_base64_is_found_at_each_alignment(prefix: bytes, suffix: bytes) -> None:
    encoded = base64.b64encode(prefix + b"s3cr3t-value" + suffix).decode()
    assert any(form in encoded for form in list_encoded_forms("s3cr3t-value"))


def test_each_long_line_is_a_form() -> None:
    forms = list_encoded_forms("first line\nshort\nsecond line\n")
    assert {"first line", "second line"} <= set(forms)
    assert "short" not in forms


def test_a_whole_file_is_found_as_it_is_and_as_json() -> None:
    text = '"' + "x" * (32 << 10)
    assert list_encoded_forms(text) == [text, json.dumps(text)[1:-1]]


def test_forms_that_are_too_short_are_left_out() -> None:
    assert min(map(len, list_encoded_forms("abcd"))) >= MIN_SECRET_LENGTH
