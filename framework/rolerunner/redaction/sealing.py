"""Marks the secrets within values as secret values, and finds them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rolerunner.redaction.containers import convert_leaves
from rolerunner.redaction.redact import is_known_secret, redact_text
from rolerunner.redaction.secrets import Secret, SecretValue, register_secret


def seal_secrets(value: Any, *, whole: bool = False) -> Any:
    """Returns the value with each text under the name of a secret as a secret value.

    With ``whole``, every text and number becomes one. So does a key that contains a known secret.
    """
    return convert_leaves(value, _seal_leaf, _seal_key, is_secret=whole)


def seal_outputs(outputs: Mapping[str, Any], declared: Collection[str]) -> dict[str, Any]:
    """Returns outputs with secrets as secret values: the ``declared`` and the named ones."""
    sealed: dict[str, Any] = seal_secrets(dict(outputs))
    return {
        **sealed,
        **{name: seal_secrets(outputs[name], whole=True) for name in declared if name in outputs},
    }


def _seal_key(key: str) -> str:
    return SecretValue(key) if is_known_secret(key) else str.__str__(key)


def _seal_leaf(value: Any, *, is_secret: bool) -> Any:
    if isinstance(value, str):
        if is_secret and value:
            return register_secret(value)
        # a text that contains a known secret is one as a whole
        return (
            value if isinstance(value, Secret) or not is_known_secret(value) else SecretValue(value)
        )
    if is_secret and isinstance(value, (int, float)) and not isinstance(value, bool):
        return register_secret(str(value))
    return value


def has_secret_text(value: Any) -> bool:
    """Returns True if a secret value or a text that redaction would change is within the value."""
    found = False

    def check(leaf: Any, *, is_secret: bool) -> None:
        nonlocal found
        found = found or (
            isinstance(leaf, str)
            and bool(leaf)
            and (is_secret or isinstance(leaf, Secret) or redact_text(leaf) != leaf)
        )

    def check_key(key: str) -> str:
        check(key, is_secret=False)
        return key

    convert_leaves(value, check, check_key)
    return found


def has_secret_value(value: Any) -> bool:
    """Returns True if the value is or contains a text whose type is Secret."""
    if isinstance(value, Mapping):
        return any(map(has_secret_value, value)) or any(map(has_secret_value, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(has_secret_value, value))
    return isinstance(value, Secret) and bool(value)
