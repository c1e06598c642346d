"""Text that must not be shown: it works as text, but prints as redacted."""

from __future__ import annotations

import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn, Optional, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "[redacted]"
_KEEP = 3600.0
"""Seconds that a secret value stays known at least: an error message may quote it after the step that used it has ended."""


class Secret(str):  # noqa: SLOT000 - weak references need a place
    """A key or token. ``repr`` is what tracebacks with locals print, also those of botocore's frames and headers."""

    def __repr__(self) -> str:
        return f"'{MASK}'"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "credentials are not pickled: ship the Role, and assume it where it is needed"
        )

    def __deepcopy__(self, memo: Any) -> Secret:
        return self


class SecretValue(Secret):
    """A secret of the user's: a param, an output, or a text made of one. It may go to another process, and is a secret there too."""

    digest: Optional[SecretValue] = None
    """A digest of it that is as good as the secret itself; known for as long as the secret is."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return register_secret, (str(self),)


S = TypeVar("S", bound=Secret)
_LIVING: weakref.WeakValueDictionary[str, Secret] = weakref.WeakValueDictionary()
"""Every secret in use; it keeps none alive."""
_KEPT: deque[tuple[float, Secret]] = deque()
"""Secret values and when they may be forgotten, in order."""
_NEW: deque[str] = deque()
"""Texts that were registered since they were last asked for."""


def register_credential(text: str) -> Secret:
    """``text`` as a credential, redacted from all output as long as it is in use."""
    return _registered(text, Secret)


def register_secret(text: str) -> SecretValue:
    """``text`` as a secret value, redacted from all output as long as it is in use and for an hour at least."""
    if isinstance(text, SecretValue):
        return text
    secret = _registered(text, SecretValue)
    now = time.monotonic()
    while _KEPT and _KEPT[0][0] < now:
        _KEPT.popleft()
    _KEPT.append((now + _KEEP, secret))
    return secret


def _registered(text: str, kind: type[S]) -> S:
    # the key must be plain text of its own: a str subclass would be kept alive by its own entry
    plain = str(text)
    known = _LIVING.get(plain)
    if isinstance(known, kind):
        return known
    secret = kind(plain)
    if plain.strip():
        _LIVING[plain] = secret
        _NEW.append(plain)
    return secret


def list_secrets() -> Iterator[str]:
    """The text of every secret in use."""
    return iter(list(_LIVING.keys()))


def count_secrets() -> int:
    """How many secrets are in use."""
    return len(_LIVING)


def has_new_secrets() -> bool:
    """Returns True if a secret was registered since ``take_new_secrets`` was called last."""
    return bool(_NEW)


def take_new_secrets() -> list[str]:
    """Texts that were registered since the last call."""
    return [_NEW.popleft() for _ in range(len(_NEW))]


def forget_secret_values() -> None:
    """Forget the secret values that are kept only because they were used within the last hour."""
    _KEPT.clear()
