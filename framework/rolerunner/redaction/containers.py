"""Converts values nested in dicts and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.redaction.secret_names import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable

_VALUE_KEYS = ("Value", "value")
_NAME_KEYS = ("Name", "name", "Key", "key")


def convert_leaves(
    root: Any, leaf: Callable[..., Any], key_text: Callable[[str], str], *, is_secret: bool = False
) -> Any:
    """Returns the value with its containers rebuilt, its keys and leaves converted.

    ``leaf`` is called with ``is_secret=True`` under the name of a secret. Works without recursion,
    so a value may be nested 1,000 deep.
    """
    top: list[Any] = [None]
    built: dict[tuple[int, bool], Any] = {}
    pending: list[tuple[Any, Any, Any, bool]] = [(root, top, 0, is_secret)]
    while pending:
        value, holder, slot, secret_here = pending.pop()
        if not isinstance(value, (dict, list, tuple, set, frozenset)):
            holder[slot] = leaf(value, is_secret=secret_here)
            continue
        earlier = built.get((id(value), secret_here))
        if earlier is not None:  # a value that occurs twice, or contains itself
            holder[slot] = earlier
            continue
        if isinstance(value, dict):
            mapping = _copy_mapping(
                value, key_text, pending, is_secret=secret_here, all_secret=is_secret
            )
            holder[slot] = built[id(value), secret_here] = mapping
        else:
            items: list[Any] = [None] * len(value)
            holder[slot] = built[id(value), secret_here] = items
            pending += [(each, items, index, secret_here) for index, each in enumerate(value)]
    return top[0]


def _copy_mapping(
    value: dict[Any, Any],
    key_text: Callable[[str], str],
    pending: list[Any],
    *,
    is_secret: bool,
    all_secret: bool,
) -> dict[Any, Any]:
    """Returns the mapping with converted keys, and adds its values to ``pending``."""
    copied: dict[Any, Any] = {}
    # {"name": "password", "value": ...}, and {"password": {"value": ...}}
    named = is_secret or any(
        is_secret_name(value[name]) for name in _NAME_KEYS if isinstance(value.get(name), str)
    )
    for key, each in value.items():
        name = key_text(key) if isinstance(key, str) else key
        copied[name] = None
        inner = all_secret or (
            isinstance(key, str) and (is_secret_name(key) or (named and key in _VALUE_KEYS))
        )
        pending.append((each, copied, name, inner))
    return copied
