"""Tests frozen dataclasses that generate their methods when they are first used."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Optional

import pytest

from rolerunner.lazy_dataclass import dataclass


@dataclass(frozen=True)
class Lazy:
    """A class with every kind of field."""

    name: str
    size: int = 3
    tags: list[str] = dataclasses.field(default_factory=list, compare=False)
    secret: str = dataclasses.field(default="s", repr=False)
    limit: ClassVar[int] = 9
    parent: Optional[Lazy] = None

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("negative")


@dataclasses.dataclass(frozen=True)
class Eager:
    """The same fields, by the standard library's decorator."""

    name: str
    size: int = 3
    tags: list[str] = dataclasses.field(default_factory=list, compare=False)
    secret: str = dataclasses.field(default="s", repr=False)
    limit: ClassVar[int] = 9
    parent: Optional[Eager] = None


@dataclass(frozen=True)
class Derived(Lazy):
    extra: str = "e"


@dataclass(frozen=True, eq=False)
class Distinct:
    name: str


@dataclass(frozen=True)
class Shown:
    name: str

    def __repr__(self) -> str:
        return "mine"


def test_a_class_behaves_as_one_of_the_standard_library() -> None:
    lazy, eager = Lazy("a", 1, ["t"]), Eager("a", 1, ["t"])
    assert repr(lazy) == repr(eager).replace("Eager", "Lazy")
    assert dataclasses.asdict(lazy) == dataclasses.asdict(eager)
    assert [each.name for each in dataclasses.fields(Lazy)] == [
        each.name for each in dataclasses.fields(Eager)
    ]
    assert (lazy == Lazy("a", 1, ["other"]), hash(lazy)) == (True, hash(Lazy("a", 1)))
    assert (lazy == Lazy("a", 2), lazy == object()) == (False, False)
    assert dataclasses.replace(lazy, size=5) == Lazy("a", 5)
    assert Lazy.limit == 9
    assert vars(Lazy)["__dataclass_params__"].frozen


def test_fields_are_not_assigned() -> None:
    lazy = Lazy("a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'size'"):
        lazy.size = 4  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'size'"):
        del lazy.size
    with pytest.raises(TypeError, match="name"):
        Lazy()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="negative"):
        Lazy("a", -1)


def test_values_are_copied_and_pickled() -> None:
    lazy = Lazy("a", 1, ["t"])
    assert pickle.loads(pickle.dumps(lazy)) == copy.deepcopy(lazy) == lazy


def test_a_derived_class_has_the_fields_of_both() -> None:
    assert repr(Derived("a", extra="x")).endswith("extra='x')")
    assert Derived("a") == Derived("a") != Derived("a", extra="x")


def test_own_methods_stay() -> None:
    assert repr(Shown("a")) == "mine"
    assert Distinct("a") != Distinct("a")
    assert Shown("a") == Shown("a")


def test_threads_that_use_a_class_first_at_once() -> None:
    for _ in range(20):
        fresh: type = dataclass(frozen=True)(type("Fresh", (), {"__annotations__": {"name": str}}))
        barrier = threading.Barrier(8)

        def make(_: int, fresh: type = fresh, barrier: threading.Barrier = barrier) -> object:
            barrier.wait()
            return fresh("a")

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(make, range(8)))) == 1
