"""Secrets taken out of whatever is about to be shown."""

from __future__ import annotations

import re
from typing import Any

from rolerunner.secret import MASK as _MASK
from rolerunner.secret import living

# Those in use are known by value; the others by their look.
# Session tokens are long base64 that starts with one of STS's prefixes; secret keys are 40 characters after a telling name.
_SECRETS = re.compile(
    r"(?P<name>(?:secret_?access_?key|aws_secret_access_key|session_?token|security-token|x-amz-security-token|signature|secret_key|token)"
    r"[\"']?\s*[:=]\s*[\"']?)(?P<value>[^\s\"',&<>]{8,})"
    r"|(?P<tag><(?P<element>SecretAccessKey|SessionToken)>)[^<]*"
    r"|(?P<key>\b(?:ASIA|AKIA)[A-Z0-9]{16}\b)",
    re.IGNORECASE,
)


def redacted(value: Any) -> Any:
    """The value without keys, tokens and signatures."""
    if isinstance(value, str):
        return _SECRETS.sub(_replacement, _without_living(value))
    if isinstance(value, dict):
        return {redacted(key): redacted(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redacted(each) for each in value]
    if isinstance(value, (int, float, type(None))):
        return value
    if isinstance(value, (bytes, bytearray)):
        return redacted(value.decode("utf-8", "backslashreplace"))
    return redacted(str(value))  # an object's own text may hold anything


def _without_living(text: str) -> str:
    for secret in living():
        if secret in text:
            text = text.replace(secret, _MASK)
    return text


def _replacement(found: re.Match[str]) -> str:
    if found["name"]:
        return found["name"] + _MASK
    if found["tag"]:
        return found["tag"] + _MASK
    return _MASK
