"""The aws-chunked encoding: a body whose checksum follows in a trailer.

It serves bodies that are read while they are sent and are too large for memory. The trailer is not
signed (S3 API reference, "Chunked uploads with trailing headers").
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Optional

from rolerunner.storage import hashing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STREAMING_PAYLOAD = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_TRAILER = "x-amz-checksum-crc32"


class ChunkedBody:
    """A body of ``length`` bytes in blocks of ``block`` bytes.

    ``source`` yields the blocks, again for each try.

    ``also`` creates a hash that is computed over the body too.
    """

    def __init__(
        self,
        source: Callable[[], Iterator[bytes]],
        length: int,
        block: int,
        also: Optional[Callable[[], hashing.Hash]],
    ) -> None:
        self._source = source
        self._length = length
        self._block = block
        self._also = also
        self.checksum = ""
        """The CRC32 of the body that was sent last, in base64."""
        self.computed: Optional[hashing.Hash] = None
        """The hash that ``also`` created, over the same body."""

    def __len__(self) -> int:
        """Returns the encoded length in bytes."""
        whole, rest = divmod(self._length, self._block)
        size = whole * (len(f"{self._block:x}") + 4 + self._block) + (
            len(f"{rest:x}") + 4 + rest if rest else 0
        )
        return size + len(f"0\r\n{_TRAILER}:12345678\r\n\r\n")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request with this body."""
        return {
            "content-encoding": "aws-chunked",
            "x-amz-trailer": _TRAILER,
            "x-amz-decoded-content-length": str(self._length),
        }

    def blocks(self) -> Iterator[bytes]:
        """Yields the encoded body."""
        crc = hashing.create_hash("CRC32")
        self.computed = self._also() if self._also is not None else None
        for block in self._source():
            crc.update(block)
            if self.computed is not None:
                self.computed.update(block)
            yield b"%x\r\n" % len(block)
            yield block
            yield b"\r\n"
        self.checksum = base64.b64encode(crc.digest()).decode()
        yield f"0\r\n{_TRAILER}:{self.checksum}\r\n\r\n".encode()
