"""Secrets within values become secret values."""

from __future__ import annotations

from rolerunner.redaction.redact import redact, redact_text
from rolerunner.redaction.sealing import (
    has_secret_text,
    has_secret_value,
    seal_outputs,
    seal_secrets,
)
from rolerunner.redaction.secrets import MASK, Secret, register_secret


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


def test_a_text_that_holds_a_secret_is_sealed_whole() -> None:
    kept = register_secret("Blue-kettle-4711")
    assert has_secret_value(seal_secrets({"text": f"login with {kept}"}))
    assert redact(seal_secrets({"text": f"login with {kept}", "other": "x"})) == {
        "text": MASK,
        "other": "x",
    }


def test_declared_outputs_are_sealed_whole_and_others_by_name() -> None:
    outputs = {"value": {"a": "kQ7-declared", "n": 41414141}, "password": "kQ7-named", "count": 2}
    sealed = seal_outputs(outputs, ["value", "absent"])
    assert sealed == {**outputs, "value": {"a": "kQ7-declared", "n": "41414141"}}
    assert isinstance(sealed["value"]["a"], Secret)
    assert isinstance(sealed["value"]["n"], Secret)
    assert isinstance(sealed["password"], Secret)
    assert not isinstance(sealed["count"], Secret)
    assert redact(sealed) == {"value": {"a": MASK, "n": MASK}, "password": MASK, "count": 2}


def test_an_empty_text_is_no_secret() -> None:
    sealed = seal_secrets({"password": ""}, whole=True)
    assert not isinstance(sealed["password"], Secret)
    assert not has_secret_value(sealed)
    assert not has_secret_text(sealed)
    assert not has_secret_value([])


def test_a_key_that_holds_a_secret_is_one() -> None:
    kept = str(register_secret("Blue-kettle-4712"))
    outputs = {"found": [{f"login with {kept}": 1, "other": 2}]}
    sealed = seal_outputs(outputs, [])
    assert sealed == outputs
    assert has_secret_value(sealed)
    assert has_secret_text(outputs)
    assert redact(sealed) == {"found": [{f"login with {MASK}": 1, "other": 2}]}
