"""Secrets taken out of whatever is about to be shown."""

from __future__ import annotations

import re
from typing import Any

# Session tokens are long base64 that starts with one of STS's prefixes; secret keys are 40 characters after a telling name.
_SECRETS = re.compile(
    r"(?P<name>(?:secret_?access_?key|aws_secret_access_key|session_?token|security-token|x-amz-security-token|signature|secret_key|token)"
    r"[\"']?\s*[:=]\s*[\"']?)(?P<value>[^\s\"',&<>]{8,})"
    r"|(?P<tag><(?P<element>SecretAccessKey|SessionToken)>)[^<]*"
    r"|(?P<key>\b(?:ASIA|AKIA)[A-Z0-9]{16}\b)",
    re.IGNORECASE,
)
_MASK = "[redacted]"


def redacted(value: Any) -> Any:
    """The value without keys, tokens and signatures."""
    if isinstance(value, str):
        return _SECRETS.sub(_replacement, value)
    if isinstance(value, dict):
        return {key: redacted(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(each) for each in value]
    return value


def _replacement(found: re.Match[str]) -> str:
    if found["name"]:
        return found["name"] + _MASK
    if found["tag"]:
        return found["tag"] + _MASK
    return _MASK
