"""Dataclasses that compile their methods when they are used often.

``dataclasses`` compiles up to six methods for each class, which took a fifth of the time of a
start: a command imports more than a hundred of these classes, uses some of them, and most of those
for a few values. The fields are collected when they are first needed; the first calls of a method
are interpreted from them; then it is compiled.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Optional

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from dataclasses import dataclass
else:

    def dataclass(cls: Optional[type] = None, /, **options: bool) -> Any:
        """Replaces ``dataclasses.dataclass``, which builds classes with other options."""
        if not options.keys() <= {"frozen", "eq", "order", "unsafe_hash"}:
            return dataclasses.dataclass(cls, **options)
        return _build_class(cls, **options) if cls else lambda cls: _build_class(cls, **options)


_INTERPRETED_CALLS = 32
"""Calls of a method before it is compiled, which takes as long as some seventy of them."""
_ORDER = ("__lt__", "__le__", "__gt__", "__ge__")
_COLLECTED = tuple(
    name
    for name in ("__dataclass_fields__", "__dataclass_params__", "__match_args__", "__replace__")
    if hasattr(dataclasses.make_dataclass("_", ()), name)  # some are of later versions of Python
)


def _build_class(
    cls: type,
    *,
    frozen: bool = False,
    eq: bool = True,
    order: bool = False,
    unsafe_hash: bool = False,
) -> type:
    options = {"frozen": frozen, "eq": eq, "order": order, "unsafe_hash": unsafe_hash}
    if any(dataclasses.is_dataclass(base) for base in cls.__mro__[1:]):
        return dataclasses.dataclass(**options)(cls)
    if not cls.__doc__:
        cls.__doc__ = cls.__name__  # dataclasses would add the signature, which takes long
    _defer_fields(cls, options)
    is_hashable = unsafe_hash or (frozen and eq)
    if eq and not is_hashable and "__hash__" not in vars(cls):
        cls.__hash__ = None  # type: ignore[assignment]  # as in any class with __eq__ alone
    for name in _list_methods(eq=eq, order=order, is_hashable=is_hashable):
        if vars(cls).get(name) is None:
            setattr(cls, name, _create_stub(cls, name))
    if frozen:
        _forbid_assignment(cls)
    return cls


def _defer_fields(cls: Any, options: Mapping[str, bool]) -> None:
    """Sets the attributes that ``dataclasses`` sets, except for methods; each is lazy."""
    declared = _take_declared_fields(cls)

    def collect() -> None:
        namespace = {"__module__": cls.__module__, "__doc__": cls.__doc__, **declared}
        source = type(cls.__name__, (), namespace)
        dataclasses.dataclass(init=False, repr=False, eq=False)(source)
        params = vars(source)["__dataclass_params__"]
        for name, value in {**options, "init": True, "repr": True}.items():
            setattr(params, name, value)
        for name in _COLLECTED:
            setattr(cls, name, vars(source)[name])

    for name in _COLLECTED:
        setattr(cls, name, _Collected(cls, name, collect))


def _take_declared_fields(cls: type) -> dict[str, Any]:
    """Returns annotations and defaults, and leaves to the class the defaults that are values."""
    annotations = vars(cls).get("__annotations__", {})
    declared = {name: vars(cls)[name] for name in annotations if name in vars(cls)}
    for name, default in declared.items():
        if not isinstance(default, dataclasses.Field):
            continue
        if default.default is dataclasses.MISSING:
            delattr(cls, name)
        else:
            setattr(cls, name, default.default)
    return {**declared, "__annotations__": annotations}


class _Collected:
    """An attribute of a class that is replaced by its value when it is first read."""

    def __init__(self, cls: type, name: str, collect: Callable[[], None]) -> None:
        self._cls = cls
        self._name = name
        self._collect = collect

    def __get__(self, instance: object, owner: type) -> Any:
        self._collect()
        return vars(self._cls)[self._name]


def _list_methods(*, eq: bool, order: bool, is_hashable: bool) -> Iterator[str]:
    yield from ("__init__", "__repr__")
    yield from ("__eq__",) if eq else ()
    yield from ("__hash__",) if is_hashable else ()
    yield from _ORDER if order else ()


def _create_stub(cls: type, name: str) -> Any:
    """Returns a method that replaces itself by the compiled method after some calls."""
    interpret = _INTERPRETERS.get(name)
    calls = 0 if interpret is not None else _INTERPRETED_CALLS

    def stub(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= _INTERPRETED_CALLS:
            try:
                return interpret(cls, self, *args, **kwargs)  # type: ignore[misc]
            except _NotInterpreted:
                pass
        method = _compile_method(cls, name)
        setattr(cls, name, method)  # one assignment: other threads find the stub or the method
        return method(self, *args, **kwargs)

    stub.__name__, stub.__qualname__ = name, f"{cls.__qualname__}.{name}"
    return stub


class _NotInterpreted(Exception):
    """The compiled method does it, or raises what is wrong with the arguments."""


def _interpret_init(cls: Any, self: Any, /, *args: Any, **kwargs: Any) -> None:
    values = _bind_arguments(cls, args, kwargs)
    for name, value in values.items():
        object.__setattr__(self, name, value)
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _bind_arguments(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    """Returns the values of the fields. Raises _NotInterpreted."""
    fields = dataclasses.fields(cls)
    if len(args) > len(fields) or _has_special_fields(cls):
        raise _NotInterpreted
    values = dict(zip((each.name for each in fields), args))
    for each in fields[len(args) :]:
        if each.name in kwargs:
            values[each.name] = kwargs.pop(each.name)
        elif each.default is not dataclasses.MISSING:
            values[each.name] = each.default
        elif each.default_factory is not dataclasses.MISSING:
            values[each.name] = each.default_factory()
        else:
            raise _NotInterpreted
    if kwargs:
        raise _NotInterpreted
    return values


def _has_special_fields(cls: Any) -> bool:
    """Returns True if fields are not set in their order, each by one argument."""
    return any(
        not each.init or getattr(each, "kw_only", False) or "InitVar" in str(each.type)
        for each in cls.__dataclass_fields__.values()
    )


def _interpret_eq(cls: Any, self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    names = [each.name for each in dataclasses.fields(cls) if each.compare]
    return [getattr(self, name) for name in names] == [getattr(other, name) for name in names]


def _interpret_hash(cls: Any, self: Any) -> int:
    return hash(
        tuple(
            getattr(self, each.name)
            for each in dataclasses.fields(cls)
            if (each.compare if each.hash is None else each.hash)
        )
    )


_INTERPRETERS: Mapping[str, Any] = {
    "__init__": _interpret_init,
    "__eq__": _interpret_eq,
    "__hash__": _interpret_hash,
}


def _compile_method(cls: Any, name: str) -> Any:
    """Returns the method of a dataclass with the same fields."""
    fields = cls.__dataclass_fields__
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
        eq=name in {"__eq__", "__hash__", *_ORDER},
        order=name in _ORDER,
        unsafe_hash=name == "__hash__",
        frozen=cls.__dataclass_params__.frozen,
    )
    return vars(decorate(type(cls.__name__, (), namespace)))[name]


def _forbid_assignment(cls: Any) -> None:
    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        if type(self) is cls or name in cls.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in cls.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    cls.__setattr__, cls.__delattr__ = __setattr__, __delattr__
