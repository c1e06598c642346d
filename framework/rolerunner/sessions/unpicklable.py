"""The base class of objects that are not pickled, without an import of botocore."""

from __future__ import annotations

from typing import NoReturn

_NOT_PICKLED = "credentials are not pickled: ship the Role, and assume it where it is needed"


class Unpicklable:
    """Base class of objects that hold credentials and therefore refuse to be pickled."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(_NOT_PICKLED)
