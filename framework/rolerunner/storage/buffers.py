"""Memory for blocks and parts, which is used again."""

from __future__ import annotations

from typing import Union


class BufferPool:
    """Keeps buffers of one size, so that an operation holds as much memory as it uses at a time.

    Freed blocks of some MiB would stay with the allocator, in an arena for each thread: twice as
    much in all. And the kernel clears fresh pages first. Thread-safe.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        """Bytes of a buffer that is kept."""
        self._kept: list[bytearray] = []

    def acquire(self, length: int) -> bytearray:
        """Returns a buffer of so many bytes, with any content."""
        if length == self.size:
            try:
                return self._kept.pop()
            except IndexError:
                pass
        return bytearray(length)

    def release(self, buffer: Union[bytes, bytearray]) -> None:
        """Takes back a buffer, which nothing reads any more; what is no buffer is dropped."""
        if len(buffer) == self.size and isinstance(buffer, bytearray):
            self._kept.append(buffer)
