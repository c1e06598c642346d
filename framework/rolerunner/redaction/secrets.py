"""Strings that print as redacted, and the registry of all that are in use."""

from __future__ import annotations

import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn, Optional, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "[redacted]"
_RETENTION_SECONDS = 3600.0
"""Time for which a secret value stays known: an error may quote it after its step has ended."""


class Secret(str):  # noqa: SLOT000 - weak references need a slot
    """A key or token. Its repr is redacted, because tracebacks print the locals of frames."""

    def __repr__(self) -> str:
        return f"'{MASK}'"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "credentials are not pickled: ship the Role, and assume it where it is needed"
        )

    def __deepcopy__(self, memo: Any) -> Secret:
        return self


class SecretValue(Secret):
    """A secret of the user's: a param, an output, or a text made of one.

    It can be pickled, and is a secret in the other process too.
    """

    digest: Optional[SecretValue] = None
    """A digest that is as sensitive as the secret; known for as long as the secret is."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return register_secret, (str(self),)


S = TypeVar("S", bound=Secret)
_IN_USE: weakref.WeakValueDictionary[str, Secret] = weakref.WeakValueDictionary()
"""Every secret in use; weak references, so that it keeps none alive."""
_RETAINED: deque[tuple[float, Secret]] = deque()
"""Secret values and the times until which they are kept, in order."""
_ADDED: deque[str] = deque()
"""Texts registered since the last ``take_new_secrets()``."""


def register_credential(text: str) -> Secret:
    """Returns ``text`` as a credential, redacted from all output while it is in use."""
    return _register_secret(text, Secret)


def register_secret(text: str) -> SecretValue:
    """Returns ``text`` as a secret value, redacted while it is in use and for at least an hour."""
    if isinstance(text, SecretValue):
        return text
    secret = _register_secret(text, SecretValue)
    now = time.monotonic()
    while _RETAINED and _RETAINED[0][0] < now:
        _RETAINED.popleft()
    _RETAINED.append((now + _RETENTION_SECONDS, secret))
    return secret


def _register_secret(text: str, kind: type[S]) -> S:
    # the key must be plain text of its own: a str subclass would be kept alive by its own entry
    plain = str(text)
    known = _IN_USE.get(plain)
    if isinstance(known, kind):
        return known
    secret = kind(plain)
    if plain.strip():
        _IN_USE[plain] = secret
        _ADDED.append(plain)
    return secret


def list_secrets() -> Iterator[str]:
    """Returns the text of every secret in use."""
    return iter(list(_IN_USE.keys()))


def count_secrets() -> int:
    """Returns the number of secrets in use."""
    return len(_IN_USE)


def has_new_secrets() -> bool:
    """Returns True if a secret was registered since ``take_new_secrets`` was called last."""
    return bool(_ADDED)


def take_new_secrets() -> list[str]:
    """Returns the texts registered since the last call."""
    return [_ADDED.popleft() for _ in range(len(_ADDED))]


def forget_secret_values() -> None:
    """Drops the secret values that are kept only because they were used within the last hour."""
    _RETAINED.clear()
