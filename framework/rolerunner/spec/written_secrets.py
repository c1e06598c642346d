"""Finds secrets that are written into a spec, so that no message shows the line of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.redaction.secrets import register_secret
from rolerunner.spec.expressions import is_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECRET_KEYS = ("customer_key", "password", "private_key", "passphrase")
"""Ends of the keys of steps whose values are secrets."""


def register_written_secrets(data: Any) -> None:
    """Redacts from all output the secrets of a spec, which may be wrong in any place."""
    spec = _as_mapping(data)
    for value in (*_list_defaults(spec), *_list_keys(spec.get("steps"))):
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            text = str(value)
            if not is_template(text):
                register_secret(text)


def _list_defaults(spec: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the defaults of secret params, also those of environments."""
    params = _as_mapping(spec.get("params"))
    secrets = {name for name, each in params.items() if _as_mapping(each).get("secret")}
    environments = _as_mapping(spec.get("environments")).values()
    for changed in (
        params,
        *(_as_mapping(_as_mapping(each).get("params")) for each in environments),
    ):
        for name in secrets & set(changed):
            value = changed[name]
            yield value.get("default") if isinstance(value, dict) else value


def _list_keys(steps: Any) -> Iterator[Any]:
    """Yields the texts of keys of steps, and of the steps inside groups."""
    for step in steps if isinstance(steps, list) else ():
        for key, value in _as_mapping(step).items():
            if str(key).endswith(_SECRET_KEYS):
                yield value
        yield from _list_keys(_as_mapping(step).get("steps"))


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
