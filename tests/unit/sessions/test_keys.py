"""Keys sign, but are neither printed nor pickled."""

from __future__ import annotations

import pickle

import pytest

from rolerunner.redaction.redact import redact_text
from rolerunner.sessions.keys import Keys

SECRET = "s3cr3t-of-a-test-of-keys-0123456789abcdef"
TOKEN = "t0k3n-of-a-test-of-keys-0123456789abcdef"


def test_keys_become_credentials() -> None:
    credentials = Keys("AKIAKEYSOFATEST00001", SECRET, TOKEN).to_credentials()
    assert (credentials.access_key, credentials.secret_key, credentials.token) == (
        "AKIAKEYSOFATEST00001",
        SECRET,
        TOKEN,
    )
    assert Keys("AKIAKEYSOFATEST00001", SECRET).to_credentials().token is None


def test_keys_are_secrets() -> None:
    keys = Keys("AKIAKEYSOFATEST00001", SECRET, TOKEN)
    assert SECRET not in repr(keys)
    text = redact_text(f"{SECRET} and {TOKEN}")
    assert SECRET not in text
    assert TOKEN not in text


def test_keys_are_not_pickled() -> None:
    with pytest.raises(TypeError, match="credentials are not pickled"):
        pickle.dumps(Keys("AKIAKEYSOFATEST00001", SECRET))
