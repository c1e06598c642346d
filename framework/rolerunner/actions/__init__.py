"""The actions: one file each; this is their list."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

from rolerunner.actions.base import Action
from rolerunner.errors import UsageError

_BUILT_IN = {
    "s3.list": "S3List",
    "s3.download": "S3Download",
    "s3.upload": "S3Upload",
    "s3.copy": "S3Copy",
    "s3.delete": "S3Delete",
    "s3.wait": "S3Wait",
    "s3.read": "S3Read",
    "s3.write": "S3Write",
    "aws.call": "AwsCall",
    "python.call": "PythonCall",
    "spark.sql": "SparkSql",
}
"""Action -> its class, in the module of the action's name."""
GROUP = "rolerunner.actions"
"""The entry-point group in which other packages offer actions: each entry names a subclass of Action."""


@lru_cache(maxsize=1)
def registry() -> Mapping[str, type[Action]]:
    """Name, as ``action:`` says it -> action; those of other packages too.

    An action is imported when it is asked for, since a spec names few of them, and other packages are looked for when a name
    is none of ours. Asking for such a name, and going through all, raises UsageError for a package that is broken.
    """
    return _Registry()


class _Registry(Mapping[str, type[Action]]):
    def __getitem__(self, name: str) -> type[Action]:
        if name not in _BUILT_IN:
            return self._of_packages[name]
        found: type[Action] = getattr(
            importlib.import_module(f"{__name__}.{name.replace('.', '_')}"), _BUILT_IN[name]
        )
        return found

    def __iter__(self) -> Iterator[str]:
        return chain(_BUILT_IN, self._of_packages)

    def __len__(self) -> int:
        return len(_BUILT_IN) + len(self._of_packages)

    @cached_property
    def _of_packages(self) -> Mapping[str, type[Action]]:
        found: dict[str, type[Action]] = {}
        for entry in _entries():
            action = _loaded(entry)
            if action.kind in _BUILT_IN or action.kind in found:
                raise UsageError(f"{_origin(entry)}: the action '{action.kind}' is there already")
            found[action.kind] = action
        return found


def _entries() -> Iterator[Any]:
    from importlib import metadata  # noqa: PLC0415 - it takes 10 ms, and to look through what is installed some more

    entries: Any = metadata.entry_points()
    yield from (
        entries.select(group=GROUP) if hasattr(entries, "select") else entries.get(GROUP, ())
    )  # a dict on Python 3.9


def _loaded(entry: Any) -> type[Action]:
    try:
        action = entry.load()
    except Exception as error:
        raise UsageError(
            f"{_origin(entry)}: cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not (
        isinstance(action, type)
        and issubclass(action, Action)
        and isinstance(getattr(action, "kind", None), str)
    ):
        raise UsageError(
            f"{_origin(entry)}: is not a subclass of rolerunner.plugin.Action with a 'kind'"
        )
    return action


def _origin(entry: Any) -> str:
    package = getattr(getattr(entry, "dist", None), "name", "") or "an installed package"
    return f"the action plugin '{entry.name} = {entry.value}' of {package}"
