"""Tests frozen dataclasses that generate their methods when they are first used."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Optional

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


@dataclass
class Changing:
    name: str
    sizes: list[int] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, order=True)
class Ordered:
    name: str
    size: int = 0


@dataclass(unsafe_hash=True)
class Hashed:
    name: str
    size: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class Counted:
    name: str
    count: int = dataclasses.field(default=1, init=False)


def test_a_class_that_is_not_frozen_changes_and_has_no_hash() -> None:
    changing = Changing("a")
    changing.name = "b"
    changing.sizes.append(1)
    assert (changing == Changing("b", [1]), Changing("b").sizes) == (True, [])
    with pytest.raises(TypeError, match="unhashable"):
        hash(changing)


def test_a_class_may_be_ordered_or_hashed_though_it_changes() -> None:
    assert min([Ordered("b"), Ordered("a", 2), Ordered("a", 1)]) == Ordered("a", 1)
    assert Ordered("a") <= Ordered("a") >= Ordered("a")
    assert len({Hashed("a", 1), Hashed("a", 2), Hashed("b")}) == 2


@pytest.mark.parametrize("used", [0, 100], ids=["at first", "when it is compiled"])
def test_a_method_does_the_same_before_and_after_it_is_compiled(used: int) -> None:
    fields = {**vars(Eager)["__dataclass_fields__"], "__annotations__": Eager.__annotations__}
    fresh: Any = dataclass(frozen=True)(type("Fresh", (), fields))
    for _ in range(used):
        assert (hash(fresh("a")), fresh("a")) != (hash(fresh("b")), fresh("b"))
    value = fresh("a", tags=["t"])
    assert (value, hash(value)) == (fresh("a"), hash(Eager("a")))
    assert value != Eager("a")
    assert list(vars(value)) == ["name", "size", "tags", "secret", "parent"]
    for args, kwargs in (((), {}), ("aaaaaa", {}), ("a", {"name": "a"}), ("a", {"other": 1})):
        with pytest.raises(TypeError):
            fresh(*args, **kwargs)


def test_a_field_that_is_no_argument_has_its_default() -> None:
    assert Counted("a").count == 1
    with pytest.raises(TypeError):
        Counted("a", 2)  # type: ignore[call-arg]


def test_threads_that_use_a_class_first_at_once() -> None:
    for _ in range(20):
        fresh: type = dataclass(frozen=True)(type("Fresh", (), {"__annotations__": {"name": str}}))
        barrier = threading.Barrier(8)

        def make(_: int, fresh: type = fresh, barrier: threading.Barrier = barrier) -> object:
            barrier.wait()
            return fresh("a")

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(make, range(8)))) == 1


def test_fields_are_collected_when_they_are_first_read() -> None:
    fresh: Any = dataclass(frozen=True)(
        type("Fresh", (), {"tags": dataclasses.field(), "__annotations__": {"tags": list}})
    )
    assert "tags" not in vars(fresh)
    assert not isinstance(vars(fresh)["__dataclass_fields__"], dict)
    assert [each.name for each in dataclasses.fields(fresh(["t"]))] == ["tags"]
    assert isinstance(vars(fresh)["__dataclass_fields__"], dict)
