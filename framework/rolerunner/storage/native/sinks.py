"""Sinks of range requests: they check that a response is the requested range."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rolerunner.errors import IntegrityFailed
from rolerunner.storage import hashing
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.responses import check_unchanged, parse_object_headers
from rolerunner.storage.transfer_files import check_range_headers

_TOO_LONG = "received more bytes than requested"


class PassingSink:
    """Checks a range whose bytes are read by someone else, block by block."""

    def __init__(self, source: ObjectRange) -> None:
        self._source = source

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Raises IntegrityFailed if the response is another range."""
        check_range_headers(status, headers, self._source)

    def write(self, data: bytes) -> None:
        """Keeps nothing."""


class MemorySink:
    """Collects a range in ``data``, into which the socket is read directly.

    Its checksums by ``algorithms`` are computed as it arrives.
    """

    def __init__(self, source: ObjectRange, data: memoryview, algorithms: Iterable[str]) -> None:
        self._source = source
        self._data = data
        self._algorithms = tuple(algorithms)
        self._reset_buffer()

    def _reset_buffer(self) -> None:
        self.hashes = {name: hashing.create_hash(name) for name in self._algorithms}
        self.received = 0

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Starts over. Raises IntegrityFailed if the response is another range."""
        check_range_headers(status, headers, self._source)
        self._reset_buffer()

    def room(self, most: int) -> memoryview:
        """Returns the place of the next bytes, which are then passed to ``write``.

        Raises IntegrityFailed if there is none: an empty place would be filled for ever.
        """
        if self.received == len(self._data):
            raise IntegrityFailed(f"{self._source.uri}: {_TOO_LONG}")
        return self._data[self.received : self.received + most]

    def write(self, data: Any) -> None:
        """Keeps the next bytes. Raises IntegrityFailed if there are more than requested."""
        end = self.received + len(data)
        if end > len(self._data):
            raise IntegrityFailed(f"{self._source.uri}: {_TOO_LONG}")
        if not isinstance(data, memoryview) or data.obj is not self._data.obj:
            self._data[self.received : end] = data
        for each in self.hashes.values():
            each.update(data)
        self.received = end


class ObjectSink(MemorySink):
    """Collects a whole object of a known size."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Starts over. Raises IntegrityFailed if the response is another object."""
        del status
        uri, info = self._source.uri, self._source.info
        size = int(headers.get("content-length", info.size))
        check_unchanged(info, parse_object_headers(uri, headers, size), uri)
        self._reset_buffer()
