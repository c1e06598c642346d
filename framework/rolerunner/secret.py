"""Text that must not be shown: it works as text, but prints as redacted and is not pickled."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "[redacted]"
_LEAST = 8
"""Shorter texts than this are in no credential, and replacing them would garble what is shown."""


class Secret(str):  # noqa: SLOT000 - weak references need a place
    """A key or token. ``repr`` is what tracebacks with locals print, also those of botocore's frames and headers."""

    def __repr__(self) -> str:
        return f"'{MASK}'"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("credentials are not pickled: ship the Role, and assume it where it is needed")

    def __deepcopy__(self, memo: Any) -> Secret:
        return self


_LIVING: weakref.WeakValueDictionary[str, Secret] = weakref.WeakValueDictionary()
"""Every secret in use, so that the log can look for exactly these; it keeps none alive."""


def hidden(text: str) -> Secret:
    """``text`` as a secret that the log will look for as long as it is in use."""
    secret = Secret(text)
    # the key must be plain text of its own: a str subclass would be kept alive by its own entry
    return _LIVING.setdefault(str(text), secret) if len(text) >= _LEAST else secret


def living() -> Iterator[str]:
    """The text of every secret in use."""
    return iter(list(_LIVING.keys()))
