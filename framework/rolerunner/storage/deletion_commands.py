"""Commands of deletions, which either engine executes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar, Union

from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri

T = TypeVar("T")


@dataclass(frozen=True)
class DeleteObjects:
    """A DeleteObjects request; its result is an ``xml.DeleteResult``."""

    uri: S3Uri
    """The common folder of all keys."""
    body: bytes
    version: str = ""
    """One of the versions that it names, if any."""


@dataclass(frozen=True)
class DeleteObject:
    """A DeleteObject request for a key that XML cannot hold; it has no result.

    ``etag`` is its condition; empty for none.
    """

    uri: S3Uri
    version: str = ""
    etag: str = ""


@dataclass(frozen=True)
class HeadObject:
    """A HEAD request; its result is an ``ObjectInfo``."""

    uri: S3Uri
    version: str = ""


@dataclass(frozen=True)
class Pause:
    """A wait before the next attempt; ``throttled`` if the server asked for fewer requests."""

    seconds: float
    throttled: bool = False


Command = Union[DeleteObjects, DeleteObject, HeadObject, Pause]
Commands = Generator[Command, Any, T]


def run_commands(commands: Commands[T], execute: Callable[[Command], Any]) -> T:
    """Executes commands in the calling thread; returns the generator's result."""
    value: Any = None
    failed = False
    try:
        while True:
            command = commands.throw(value) if failed else commands.send(value)
            try:
                value, failed = execute(command), False
            except StepError as error:
                value, failed = error, True
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
