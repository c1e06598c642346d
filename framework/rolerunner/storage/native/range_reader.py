"""Reads small objects and ranges of large ones over blocking connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed
from rolerunner.storage.http.blocking import BlockingClient
from rolerunner.storage.native.client import version_query
from rolerunner.storage.native.fallback import call_or_fall_back
from rolerunner.storage.native.sinks import MemorySink, ObjectSink, PassingSink
from rolerunner.storage.responses import check_unchanged, parse_object_headers

if TYPE_CHECKING:
    from rolerunner.storage.boto.engine import BotoEngine
    from rolerunner.storage.buffers import BufferPool
    from rolerunner.storage.http.framing import Response
    from rolerunner.storage.http.tasks import Task
    from rolerunner.storage.native.client import NativeClient
    from rolerunner.storage.parts import ObjectRange
    from rolerunner.storage.transfer_files import RangeSink


class RangeReader:
    """Reads under one role, and verifies what it received; boto3 does what it does not support."""

    def __init__(self, client: NativeClient, fallback: BotoEngine) -> None:
        self._client = client
        self._requests = fallback.requests
        self._reader = fallback.reader
        self._fallback = fallback.boto_transport

    def read_range(
        self,
        source: ObjectRange,
        cancel: Optional[Cancel] = None,
        buffers: Optional[BufferPool] = None,
    ) -> bytes:
        """Returns the bytes of a range, in one of the buffers if they are given."""
        length = source.length
        if length == 0:
            return b""
        data = bytearray(length) if buffers is None else buffers.acquire(length)
        self.read_into_memory(memoryview(data), source, (), cancel or Cancel())
        return data  # type: ignore[return-value]  # bytes in all but name, and not copied

    def read_into_memory(
        self, data: memoryview, source: ObjectRange, algorithms: Sequence[str], cancel: Cancel
    ) -> Mapping[str, bytes]:
        """Fills ``data`` with a range; returns its digests by name. Raises StepError."""
        sink = MemorySink(source, data, algorithms)
        call_or_fall_back(
            lambda: self._fetch_range(source, sink, cancel),
            lambda: sink.write(memoryview(self._reader.read_range(source, cancel))),
        )
        _check_received(source, sink.received)
        return {name: each.digest() for name, each in sink.hashes.items()}

    def read_into(self, source: ObjectRange, sink: RangeSink, cancel: Cancel) -> None:
        """Feeds a range to ``sink``. Raises StepError."""
        call_or_fall_back(
            lambda: self._fetch_range(source, sink, cancel),
            lambda: self._fallback.read_into(source, sink, cancel),
        )

    def _fetch_range(self, source: ObjectRange, sink: Any, cancel: Cancel) -> None:
        """Feeds a range to ``sink``. Raises StepError, UnsupportedRequest."""
        uri, info = source.uri, source.info
        with (
            self._requests.translate_errors(uri, version=info.version),
            self._reader.explain_if_match(uri, info),
        ):
            self._client.run(self._request_range(source, sink, cancel), cancel)

    def _request_range(self, source: ObjectRange, sink: Any, cancel: Cancel) -> Task[Response]:
        return self._client.send(
            self._client.make_policy(cancel),
            "get_object",
            source.uri,
            self._client.read_options,
            _range_headers(source),
            query=version_query(source.info.version),
            sink=sink,
        )

    def read_object(self, source: ObjectRange, cancel: Cancel) -> bytes:
        """Returns a small object's bytes, once their checksum is verified."""
        return call_or_fall_back(
            lambda: self._fetch_object(source, cancel),
            lambda: self._fallback.read_object(source, cancel),
        )

    def _fetch_object(self, source: ObjectRange, cancel: Cancel) -> bytes:
        uri, info = source.uri, source.info
        data = bytearray(source.length)
        sink = ObjectSink(source, memoryview(data), ())
        with (
            self._requests.translate_errors(uri, version=info.version),
            self._reader.explain_if_match(uri, info),
        ):
            response = self._client.run(
                self._client.send(
                    self._client.make_policy(cancel),
                    "get_object",
                    uri,
                    self._client.read_options,
                    {"if-match": source.if_match},
                    query=version_query(info.version),
                    sink=sink,
                ),
                cancel,
            )
        now = parse_object_headers(uri, response.headers, sink.received)
        check_unchanged(info, now, uri)
        _check_received(source, sink.received)
        self._reader.verify_content(uri, now, data, source.length)
        return data  # type: ignore[return-value]  # bytes in all but name, and not copied

    def iterate_range(self, source: ObjectRange, cancel: Cancel) -> Iterator[bytes]:
        """Yields a range block by block.

        Raises StepError about this role and object, not about the part that the blocks go to.
        """
        uri, version = source.uri, source.info.version
        template = self._client.find_template("get_object", uri.bucket, self._client.read_options)
        pacer = self._requests.pacer
        while wait := pacer.throttle.wait():
            cancel.wait(wait)
            cancel.stop_if_set()
        pacer.pace_request(cancel)
        request = template.sign(
            uri.key,
            _range_headers(source),
            query=version_query(version),
            sink=PassingSink(source),
        )
        received = 0
        with (
            self._requests.translate_errors(uri, version=version),
            self._reader.explain_if_match(uri, source.info),
        ):
            for block in BlockingClient(self._client.connections, cancel).stream(request):
                received += len(block)
                yield block
        _check_received(source, received)


def _range_headers(source: ObjectRange) -> dict[str, str]:
    return {"range": source.byte_range, "if-match": source.if_match}


def _check_received(source: ObjectRange, received: int) -> None:
    if received != source.length:
        message = f"received {received:,} of {source.length:,} bytes"
        raise IntegrityFailed(f"{source.uri}: {message}")
