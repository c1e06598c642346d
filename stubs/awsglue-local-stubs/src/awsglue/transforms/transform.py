"""The base class of all transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, TypeVar

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["GlueTransform"]


class GlueTransform:
    """A transform: a class whose instances are called, by ``apply``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Carries out the transform; each class has its own arguments."""
        raise NotImplementedError

    @classmethod
    def apply(cls: Callable[[], Callable[P, R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Carries out the transform with the arguments of ``__call__`` and returns its result."""
        return cls()(*args, **kwargs)

    @classmethod
    def name(cls) -> str:
        """Returns the name of the transform."""
        return cls.__name__
