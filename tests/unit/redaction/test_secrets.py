"""The registry of the secrets in use."""

from __future__ import annotations

import copy
import pickle

import pytest

from rolerunner.redaction import secrets
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import (
    MASK,
    Secret,
    SecretValue,
    register_credential,
    register_secret,
)


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


def test_a_text_is_registered_once() -> None:
    first = register_secret("zQ8-registered")
    assert register_secret("zQ8-registered") is first
    assert register_secret(first) is first
    assert register_credential("zQ8-registered") is first
    assert copy.deepcopy(first) is first
    assert secrets.take_new_secrets().count("zQ8-registered") == 1
    assert not secrets.has_new_secrets()
    assert secrets.take_new_secrets() == []


def test_a_credential_that_is_a_secret_value_too_is_kept_as_one() -> None:
    credential = register_credential("zQ8-both")
    assert type(credential) is Secret
    assert type(register_secret("zQ8-both")) is SecretValue
    assert list(secrets.list_secrets()).count("zQ8-both") == 1


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_blank_text_is_never_masked(text: str) -> None:
    before = secrets.count_secrets()
    register_secret(text)
    assert secrets.count_secrets() == before


def test_secret_values_stay_known_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(secrets.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]  # its own clock
    register_secret("zQ8-first")
    now[0] += 3600
    register_secret("zQ8-second")
    assert {"zQ8-first", "zQ8-second"} <= set(secrets.list_secrets())
    now[0] += 0.1
    register_secret("zQ8-third")
    assert "zQ8-first" not in set(secrets.list_secrets())
    assert {"zQ8-second", "zQ8-third"} <= set(secrets.list_secrets())
    secrets.forget_secret_values()
    assert not {"zQ8-second", "zQ8-third"} & set(secrets.list_secrets())
