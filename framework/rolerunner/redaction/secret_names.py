"""Names under which a value is a secret, such as ``SecretAccessKey`` or ``db_password``."""

from __future__ import annotations

import re
from functools import lru_cache

_NAMES = frozenset(
    [
        "authorization",
        "apikey",
        "credentialstring",
        "passphrase",
        "password",
        "passwd",
        "privatekey",
        "proxyauthorization",
        "pwd",
        "sassignature",
        "secret",
        "secretaccesskey",
        "secretbinary",
        "secretkey",
        "secretstring",
        "setcookie",
        "sharedkey",
        "signature",
        "xamzsignature",
    ]
)
_NAME_ENDINGS = (
    "password",
    "passwd",
    "passphrase",
    "secretaccesskey",
    "secretkey",
    "clientsecret",
    "appsecret",
    "apikey",
    "privatekey",
    "token",
)
_PLAIN_TOKENS = (
    "next",
    "nextpage",
    "continuation",
    "page",
    "paging",
    "pagination",
    "client",
    "clientrequest",
    "request",
    "idempotency",
    "sequence",
    "change",
    "conditional",
    "creation",
    "update",
    "lock",
    "version",
    "start",
    "starting",
    "marker",
    "resume",
    "scroll",
    "sync",
    "max",
    "min",
    "eos",
    "bos",
    "pad",
    "unk",
)
"""Words before 'token' where that is a position in a list, a version or a unit of text."""


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Returns True if a value under this name is a secret."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain.endswith("token"):
        return not plain[: -len("token")].endswith(_PLAIN_TOKENS)
    return plain in _NAMES or plain.endswith(_NAME_ENDINGS)
