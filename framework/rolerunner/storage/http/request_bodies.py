"""Bodies of requests that are not held in memory, and of responses that are passed on in blocks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import StepError
from rolerunner.storage.http.connection_pool import BLOCK_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolerunner.storage.http.framing import Sink


class FileRange:
    """A range of an open file as a request's body.

    ``moved`` is called with the number of bytes as they are sent.
    """

    def __init__(
        self, descriptor: int, start: int, length: int, moved: Callable[[int], None]
    ) -> None:
        self.descriptor = descriptor
        self.start = start
        self.length = length
        self.moved = moved

    def __len__(self) -> int:
        return self.length

    def read_blocks(self) -> Iterator[bytes]:
        """Yields the range in blocks, of which only the last one may be shorter.

        Raises StepError if the file has become shorter.
        """
        end = self.start + self.length
        for position in range(self.start, end, BLOCK_SIZE):
            yield _read_block(self.descriptor, position, min(BLOCK_SIZE, end - position))


class BlockBuffer:
    """A sink that returns what it receives in blocks of one size.

    ``checker`` checks the response's headers.
    """

    def __init__(self, checker: Optional[Sink]) -> None:
        self._checker = checker
        self._data = bytearray()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Checks the headers of a response."""
        if self._checker is not None:
            self._checker.begin(status, headers)

    def write(self, data: bytes) -> None:
        """Adds received bytes."""
        self._data += data

    def pop_blocks(self) -> Iterator[bytes]:
        """Yields and removes the complete blocks."""
        while len(self._data) >= BLOCK_SIZE:
            yield bytes(self._data[:BLOCK_SIZE])
            del self._data[:BLOCK_SIZE]

    def pop_rest(self) -> Iterator[bytes]:
        """Yields the last block, if it is not empty."""
        if self._data:
            yield bytes(self._data)


def _read_block(descriptor: int, position: int, length: int) -> bytes:
    """Reads a block that a network file system may return in pieces."""
    data = os.pread(descriptor, length, position)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), position + len(data))
        if not more:
            raise file_changed()
        data += more
    return data


def file_changed() -> StepError:
    """Returns the error for a file that has become shorter."""
    return StepError("the file became shorter while it was read", type="FileChanged")
