"""Actions: what the steps of a spec can do."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache, cached_property, lru_cache
from itertools import chain
from typing import Any, Optional

from rolerunner.actions import builtin
from rolerunner.actions.base import Action
from rolerunner.errors import UsageError

GROUP = "rolerunner.actions"
"""The entry-point group in which other packages offer actions: each entry names an Action."""


@lru_cache(maxsize=1)
def registry() -> Mapping[str, type[Action]]:
    """Returns all actions by name, those of other packages included.

    An action is imported when it is looked up, because a spec names few of them. Other packages
    are searched only for a name that is not built in. Looking up such a name, and iterating over
    all actions, raise UsageError for a package that is broken.
    """
    return _Registry()


def find_action(name: str) -> Optional[type[Action]]:
    """Returns the action of this name; None if it is unknown or its package is broken."""
    try:
        return registry().get(name)
    except UsageError:
        return None


class _Registry(Mapping[str, type[Action]]):
    def __getitem__(self, name: str) -> type[Action]:
        if name in self._modules:
            return _import_builtin(self._modules[name])
        return self._plugins[name]

    def __iter__(self) -> Iterator[str]:
        return chain(self._modules, self._plugins)

    def __len__(self) -> int:
        return len(self._modules) + len(self._plugins)

    @cached_property
    def _modules(self) -> Mapping[str, str]:
        """Built-in action -> its module; the folder is listed and nothing is imported."""
        names = sorted(module.name for module in pkgutil.iter_modules(builtin.__path__))
        return {name.replace("_", ".", 1): name for name in names}

    @cached_property
    def _plugins(self) -> Mapping[str, type[Action]]:
        found: dict[str, type[Action]] = {}
        for entry in _iter_entry_points():
            action = _load_plugin(entry)
            if action.kind in self._modules or action.kind in found:
                raise UsageError(
                    f"{_describe_origin(entry)}: the action '{action.kind}' already exists"
                )
            found[action.kind] = action
        return found


@cache
def _import_builtin(name: str) -> type[Action]:
    """Imports the module and returns the action that it defines."""
    module = importlib.import_module(f"{builtin.__name__}.{name}")
    (action,) = (
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Action)
        and each.__module__ == module.__name__
        and "kind" in vars(each)
    )
    return action


def _iter_entry_points() -> Iterator[Any]:
    # it takes 10 ms to import, and more to search the installed packages
    from importlib import metadata  # noqa: PLC0415

    entries: Any = metadata.entry_points()
    if hasattr(entries, "select"):
        yield from entries.select(group=GROUP)
    else:  # a dict on Python 3.9
        yield from entries.get(GROUP, ())


def _load_plugin(entry: Any) -> type[Action]:
    try:
        action = entry.load()
    except Exception as error:
        raise UsageError(
            f"{_describe_origin(entry)}: cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    is_action = isinstance(action, type) and issubclass(action, Action)
    if not is_action or not isinstance(getattr(action, "kind", None), str):
        raise UsageError(
            f"{_describe_origin(entry)}: is not a subclass of rolerunner.plugin.Action"
            " with a 'kind'"
        )
    return action  # type: ignore[no-any-return]


def _describe_origin(entry: Any) -> str:
    package = getattr(getattr(entry, "dist", None), "name", "") or "an installed package"
    return f"the action plugin '{entry.name} = {entry.value}' of {package}"
