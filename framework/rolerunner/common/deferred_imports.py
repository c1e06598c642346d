"""Lets a library be imported without the packages that it imports and hardly uses."""

from __future__ import annotations

import importlib
import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


class _DeferredModule(ModuleType):
    """Stands for a module, which is imported when an attribute is used.

    Each of ``functions`` is imported when it is called.
    """

    def __init__(self, name: str, functions: Collection[str]) -> None:
        super().__init__(name)
        self._functions = functions

    def __bool__(self) -> bool:
        """Returns False: logging asks a module that is true for the current task, since 3.12."""
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system looks at, such as __spec__
            raise AttributeError(name)
        if name in self._functions:
            return partial(self._call, name)
        return self._import_attribute(name)

    def _call(self, function: str, *args: Any, **kwargs: Any) -> Any:
        return self._import_attribute(function)(*args, **kwargs)

    def _import_attribute(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def defer_import(name: str, functions: Collection[str] = ()) -> Iterator[None]:
    """Lets ``import NAME`` inside the block import the module when it is first used.

    ``from NAME import FUNCTION`` uses it, unless ``functions`` has the function's name.
    After the block, other importers get the module itself.
    """
    if name in sys.modules:
        yield
        return
    deferred = sys.modules[name] = _DeferredModule(name, functions)
    try:
        yield
    finally:
        if sys.modules.get(name) is deferred:
            del sys.modules[name]


@contextmanager
def defer_imports(modules: Mapping[str, Collection[str]]) -> Iterator[None]:
    """Defers several modules as ``defer_import`` does; each name is mapped to its functions."""
    with ExitStack() as stack:
        for name, functions in modules.items():
            stack.enter_context(defer_import(name, functions))
        yield


@contextmanager
def hide_package(name: str) -> Iterator[None]:
    """Makes a package look absent inside the block (Python reference, "The module cache")."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # typeshed leaves this out
    try:
        yield
    finally:
        del sys.modules[name]
