"""Access keys that sign requests but are never printed or pickled."""

from __future__ import annotations

from typing import Optional

from rolerunner.redaction.secrets import register_credential
from rolerunner.sessions.botocore_imports import Credentials, ReadOnlyCredentials
from rolerunner.sessions.unpicklable import Unpicklable


class Keys(Unpicklable):
    """Access key, secret key and session token, with a redacted repr; cannot be pickled."""

    __slots__ = ("_frozen",)

    def __init__(self, access_key: str, secret_key: str, token: Optional[str] = None) -> None:
        self._frozen = freeze_keys(access_key, secret_key, token)

    def to_credentials(self) -> Credentials:
        """Returns the keys as botocore's credentials."""
        return Credentials(*self._frozen[:3])

    def __repr__(self) -> str:
        return "Keys(redacted)"


def freeze_keys(access_key: str, secret_key: str, token: Optional[str]) -> ReadOnlyCredentials:
    """Returns keys to sign with, each registered as a secret.

    Their repr is redacted, because botocore's frames hold them and a traceback may print locals.
    """
    return ReadOnlyCredentials(
        register_credential(access_key),
        register_credential(secret_key),
        register_credential(token) if token else None,
    )
