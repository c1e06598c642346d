"""Frozen dataclasses that generate their methods when they are first used.

``dataclasses`` compiles six methods for each frozen class, which took a fifth of the time of a
start: a command imports more than a hundred of these classes, and uses some of them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Optional

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls: Optional[type] = None, /, **options: bool) -> Any:
        """Replaces ``dataclasses.dataclass``, which builds classes that are not plainly frozen."""
        if options.keys() <= {"frozen", "eq"} and options.get("frozen"):
            return lambda cls: _build_class(cls, eq=options.get("eq", True))
        return dataclasses.dataclass(cls, **options)


def _build_class(cls: type, *, eq: bool) -> type:
    if any(dataclasses.is_dataclass(base) for base in cls.__mro__[1:]):
        return dataclasses.dataclass(frozen=True, eq=eq)(cls)
    dataclasses.dataclass(init=False, repr=False, eq=False)(cls)  # collects the fields
    params = vars(cls)["__dataclass_params__"]
    params.init = params.repr = params.frozen = True
    params.eq = eq
    for name in ("__init__", "__repr__", *(("__eq__", "__hash__") if eq else ())):
        if vars(cls).get(name) is None:
            setattr(cls, name, _create_stub(cls, name))
    _forbid_assignment(cls)
    return cls


def _create_stub(cls: type, name: str) -> Any:
    """Returns a method that replaces itself by the generated method, and calls that."""

    def stub(self: Any, *args: Any, **kwargs: Any) -> Any:
        method = _generate_method(cls, name)
        setattr(cls, name, method)  # one assignment: other threads find the stub or the method
        return method(self, *args, **kwargs)

    stub.__name__, stub.__qualname__ = name, f"{cls.__qualname__}.{name}"
    return stub


def _generate_method(cls: type, name: str) -> Any:
    """Returns the method of a dataclass with the same fields."""
    fields = vars(cls)["__dataclass_fields__"]
    namespace = {
        **fields,
        "__annotations__": {name: each.type for name, each in fields.items()},
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__name__,
    }
    if hasattr(cls, "__post_init__"):
        namespace["__post_init__"] = cls.__post_init__
    decorate = dataclasses.dataclass(
        init=name == "__init__",
        repr=name == "__repr__",
        eq=name in {"__eq__", "__hash__"},
        frozen=True,
    )
    return vars(decorate(type(cls.__name__, (), namespace)))[name]


def _forbid_assignment(cls: Any) -> None:
    fields = frozenset(vars(cls)["__dataclass_fields__"])

    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        if type(self) is cls or name in fields:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in fields:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    cls.__setattr__, cls.__delattr__ = __setattr__, __delattr__
