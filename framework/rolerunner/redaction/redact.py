"""Redacts everything that is shown or stored.

Secrets in use are found by their text and its usual encodings; others by their form (a presigned
URL's signature, a private key) and by their name (``SecretAccessKey``, ``password``).
"""

from __future__ import annotations

from typing import Any

from rolerunner.redaction.containers import convert_leaves
from rolerunner.redaction.index import SecretIndex
from rolerunner.redaction.patterns import mask_patterns
from rolerunner.redaction.secrets import MASK, Secret

_INDEX = SecretIndex()
_MOST_KEPT, _LONGEST_KEPT = 4096, 64
"""Number and length of texts that are not searched again."""


def forget_unused_secrets() -> None:
    """Drops secrets that are no longer in use."""
    _INDEX.rebuild()


def redact_text(text: str) -> str:
    """Returns the text with keys, tokens, signatures and secret values masked."""
    _INDEX.update()
    clean = _INDEX.clean  # most texts of a log are names that recur in each line
    if text in clean:
        return text
    if _INDEX.is_secret(text):
        return MASK
    # the text itself: a function's own class of texts may print as another one, or raise
    masked = mask_patterns(_INDEX.mask(str.__str__(text)))
    if masked == text and len(text) <= _LONGEST_KEPT:
        if len(clean) >= _MOST_KEPT:
            clean.clear()
        clean.add(text)
    return masked


def is_known_secret(text: str) -> bool:
    """Returns True if the text is or contains a secret in use."""
    _INDEX.update()
    return _INDEX.is_secret(text) or _INDEX.mask(text) != text


def redact(value: Any) -> Any:
    """Returns a value without secrets; other objects become text, sets and tuples lists."""
    if isinstance(value, str):
        return MASK if isinstance(value, Secret) and value else redact_text(value)
    return convert_leaves(value, _redact_leaf, redact_text)


def _redact_leaf(value: Any, *, is_secret: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if (is_secret and value and "${{" not in value) or (isinstance(value, Secret) and value):
            return MASK
        return redact_text(value)
    if isinstance(value, (int, float)):
        return MASK if is_secret or _INDEX.is_secret(str(value)) else value
    if isinstance(value, (bytes, bytearray)):
        return MASK if is_secret else redact_text(value.decode("utf-8", "backslashreplace"))
    return redact_text(str(value))  # the text of an object may contain anything
