"""Known secrets are found in texts of any length."""

from __future__ import annotations

import random
import string
import time

import pytest

from rolerunner.redaction import secrets
from rolerunner.redaction.index import SecretIndex
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import MASK, register_credential, register_secret


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


@pytest.mark.parametrize("length", [4, 15, 16, 17, 40])
def test_a_secret_is_found_at_every_position(length: int) -> None:
    secret = register_secret("".join(random.Random(length).choices(string.ascii_letters, k=length)))
    index = SecretIndex()
    index.rebuild()
    for before in range(20):
        assert index.mask("-" * before + secret + "-") == "-" * before + MASK + "-"
    assert index.is_secret(secret)
    assert not index.is_secret(secret[1:])


def test_a_secret_of_three_characters_is_known_but_not_searched_for() -> None:
    kept = register_secret("q7Z")
    index = SecretIndex()
    index.rebuild()
    assert index.is_secret(kept)
    assert index.mask("aq7Zb") == "aq7Zb"


def test_secrets_out_of_use_are_dropped() -> None:
    index = SecretIndex()
    kept = register_credential("iX3-kept-credential")
    gone = [register_credential(f"iX3-credential-{number:03}") for number in range(200)]
    index.rebuild()
    assert index.is_secret("iX3-credential-000")
    secrets.take_new_secrets()
    gone.clear()
    index.update()
    assert index.is_secret("iX3-credential-000"), "no secret is new, so the index stays"
    new = register_credential("iX3-new-credential")
    index.update()
    assert not index.is_secret("iX3-credential-000")
    assert index.mask("x iX3-credential-000") == "x iX3-credential-000"
    assert index.is_secret(kept)
    assert index.is_secret(new)
