"""Large objects over the lane: ranges and parts, each in a thread, none held whole in memory where that can be helped."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import IntegrityFailed
from rolerunner.model import S3Uri
from rolerunner.storage import checksums
from rolerunner.storage.answers import check_there
from rolerunner.storage.base import Cancel, Copy, ObjectInfo, Put
from rolerunner.storage.checksums import Pieces, Running, digest_of, in_base64
from rolerunner.storage.fast_requests import LaneRequests, checksum_header, hashed_by, version_query
from rolerunner.storage.files import FromFile, check_range, prove
from rolerunner.storage.lane.http import Answer
from rolerunner.storage.lane.requests import Declined
from rolerunner.storage.lane.signing import UNSIGNED
from rolerunner.storage.lane.steps import Asking, Steps
from rolerunner.storage.lane.straight import BLOCK, FileRange, Straight
from rolerunner.storage.lane.trailing import STREAMING, Trailing
from rolerunner.storage.local import translated
from rolerunner.storage.many import Parts, Turns
from rolerunner.storage.tuning import part_of

if TYPE_CHECKING:
    from rolerunner.storage.base import Storage


class LaneLarge(LaneRequests):
    """Ranges and parts as the plain engine has them, over the lane."""

    def _range(self, uri: S3Uri, info: ObjectInfo, start: int, length: int, landing: Any, cancel: Cancel) -> None:
        """As the plain engine's, over the lane."""
        began = landing.got
        steps = self._range_steps(uri, info, start, length, landing, self._asking(cancel))
        try:
            Straight(self._lines, cancel).run(steps)
        except Declined:
            assert landing.got == began  # noqa: S101 - it is declined before anything is asked
            super()._range(uri, info, start, length, landing, cancel)

    def _range_steps(self, uri: S3Uri, info: ObjectInfo, start: int, length: int, sink: Any, asking: Asking) -> Steps[Answer]:
        wanted = _range_headers(info, start, length)
        answer = yield from self._asked(asking, "get_object", uri, self._checked, wanted, query=version_query(info.version), sink=sink)
        if answer.headers.get("etag", "").strip('"') != info.etag:  # not every server heeds If-Match
            raise IntegrityFailed(f"{uri}: the object changed while its ranges were read")
        return answer

    def fetch(self, uri: S3Uri, info: ObjectInfo, start: int, length: int, cancel: Optional[Cancel] = None) -> bytes:
        """A range, of the object with the ETag of ``info`` alone."""
        if length == 0:
            return b""
        cancel = cancel or Cancel()
        collected = _Collected(start, length)
        try:
            with self._translated(uri):
                Straight(self._lines, cancel).run(self._range_steps(uri, info, start, length, collected, self._asking(cancel)))
        except Declined:
            return super().fetch(uri, info, start, length, cancel)
        if collected.got != length:
            raise IntegrityFailed(f"{uri}: {collected.got:,} bytes came of {length:,}")
        return collected.data  # type: ignore[return-value]  # bytes in all but name, and not copied

    def _put_parts(self, item: Put, file: FromFile, parts: Parts) -> Mapping[str, Any]:
        """As the plain engine's, each part sent straight from the file: first its checksum is computed, then it goes."""
        algorithm, _ = hashed_by(item.options)
        options = self._with_crc(item.options)
        if "ChecksumAlgorithm" not in options or not checksums.can_compute(algorithm):
            return super()._put_parts(item, file, parts)
        with translated(file.path), file.path.open("rb") as opened:
            descriptor = opened.fileno()

            def send(upload: str, number: int, start: int, length: int) -> dict[str, Any]:
                body = FileRange(descriptor, start, length, lambda count: self._moved(count, parts.cancel))
                running = checksums.hash_of(algorithm)
                for block in body.blocks():
                    running.update(block)
                    parts.cancel.stop_if_set()
                told = self._part_sent(
                    item.target, upload, options, number, checksum_header(algorithm, in_base64(running.digest())), body, parts.cancel
                )
                file.check(descriptor)
                return told

            return self._in_parts(item.target, options, file.before.st_size, send, parts, lambda _: 0)

    def _send_part(self, target: S3Uri, upload: str, options: Mapping[str, Any], number: int, data: bytes, cancel: Cancel) -> dict[str, Any]:
        """As the plain engine's, over the lane."""
        algorithm, _ = hashed_by(options)
        if "ChecksumAlgorithm" not in options or not checksums.can_compute(algorithm):
            return super()._send_part(target, upload, options, number, data, cancel)
        try:
            return self._part_sent(target, upload, options, number, checksum_header(algorithm, digest_of(algorithm, data)), data, cancel)
        except Declined:
            return super()._send_part(target, upload, options, number, data, cancel)

    def _part_sent(
        self, target: S3Uri, upload: str, options: Mapping[str, Any], number: int, headers: Mapping[str, str], body: Any, cancel: Cancel,
        payload: str = UNSIGNED,
    ) -> dict[str, Any]:  # fmt: skip
        """Send a part; what CompleteMultipartUpload wants to know of it, but for a checksum that was no header."""
        said = {name: value for name, value in options.items() if name in ("SSECustomerAlgorithm", "SSECustomerKey")}

        answer = Straight(self._lines, cancel).run(
            self._asked(
                self._asking(cancel), "upload_part", target, said, headers, query=(("partNumber", str(number)), ("uploadId", upload)),
                body=body, length=len(body), payload=payload,
            )
        )  # fmt: skip
        etag = answer.headers.get("etag", "")
        check_there({"ETag": etag}, target, f"part {number}")
        sums = {f"Checksum{name.rpartition('-')[2].upper()}": value for name, value in headers.items() if name.startswith("x-amz-checksum-")}
        return {"PartNumber": number, "ETag": etag, **sums}

    # parts that memory does not hold

    def _relay_parts(
        self, item: Copy, info: ObjectInfo, source: Storage, options: Mapping[str, Any], running: Optional[Running], parts: Parts
    ) -> Mapping[str, Any]:
        """As the plain engine's; parts that are too large to be held go through in blocks, with the checksum behind them."""
        too_large = part_of(info.size, self.tuning.part) > self.tuning.memory // 4
        if not too_large or not isinstance(source, LaneLarge) or options.get("ChecksumAlgorithm") != "CRC32":
            return super()._relay_parts(item, info, source, options, running, parts)
        proof = _Proof(item.source, info, running)
        turns = Turns()

        def send(upload: str, number: int, start: int, length: int) -> dict[str, Any]:
            pull = partial(source._pulled, item.source, info, start, length, parts.cancel)  # noqa: SLF001 - one of our own kind
            with turns.failing(), turns.turn(start, start + length) if proof.in_order else nullcontext():
                body = Trailing(lambda: self._counted(pull(), parts.cancel), length, BLOCK, proof.begin)
                told = self._part_sent(item.target, upload, options, number, body.headers, body, parts.cancel, STREAMING)
                proof.end(start, length, body.computed)
            return {**told, "ChecksumCRC32": body.checksum}

        return self._in_parts(item.target, options, info.size, send, parts, lambda _: 0)

    def _pulled(self, uri: S3Uri, info: ObjectInfo, start: int, length: int, cancel: Cancel) -> Iterator[bytes]:
        """A range, block by block. Raises IntegrityFailed where less comes."""
        wanted = _range_headers(info, start, length)
        made = self._template("get_object", uri.bucket, self._checked)
        self.flow.request(cancel)
        request = made.request(uri.key, wanted, query=version_query(info.version), sink=_Checked(start, length))
        got = 0
        for block in Straight(self._lines, cancel).pulled(request):
            got += len(block)
            yield block
        if got != length:
            raise IntegrityFailed(f"{uri}: {got:,} bytes came of {length:,}")

    def _counted(self, blocks: Iterator[bytes], cancel: Cancel) -> Iterator[bytes]:
        for block in blocks:
            yield block
            self._moved(len(block), cancel)


class _Proof:
    """The whole object's checksum over parts that go by: a CRC is put together from theirs, any other needs them in order."""

    def __init__(self, uri: S3Uri, info: ObjectInfo, running: Optional[Running]) -> None:
        self._uri = uri
        self._info = info
        self._running = running
        self._pieces = Pieces.of(info.checksum)
        self._left = info.size
        self._lock = threading.Lock()
        self.in_order = running is not None and self._pieces is None

    def begin(self) -> Any:
        """What a part's bytes are to be fed to, for each try anew."""
        if self._pieces is not None:
            return self._pieces.hash()
        return self._running.copy() if self._running is not None else _Nothing()

    def end(self, start: int, length: int, computed: Any) -> None:
        """A part has gone by. Raises IntegrityFailed after the last one, where the whole is not what S3 tells."""
        with self._lock:
            self._left -= length
            if self._pieces is not None:
                self._pieces.add(start, length, computed.digest())
            elif self.in_order:
                self._running = computed
            if self._left:
                return
            if self._pieces is not None and not self._pieces.matches():
                raise IntegrityFailed(f"{self._uri}: the bytes that came do not have the checksum {self._info.checksum} that S3 tells")
            if self.in_order:
                prove(self._uri, self._info, self._running)


class _Nothing:
    def update(self, data: Any) -> None:
        """Nothing is known to prove."""

    def digest(self) -> bytes:
        return b""


class _Checked:
    """Looks whether it is the range that was asked for."""

    def __init__(self, start: int, length: int) -> None:
        self._start, self._length = start, length

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        check_range(status, headers, self._start, self._length)

    def write(self, data: bytes) -> None:
        """It goes by."""


class _Collected:
    """A range in memory, in one piece."""

    def __init__(self, start: int, length: int) -> None:
        self._start = start
        self.data = bytearray(length)
        self.got = 0

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        check_range(status, headers, self._start, len(self.data))
        self.got = 0

    def write(self, data: Any) -> None:
        self.data[self.got : self.got + len(data)] = data
        self.got += len(data)


def _range_headers(info: ObjectInfo, start: int, length: int) -> dict[str, str]:
    """A range, of the object with this ETag alone."""
    return {"range": f"bytes={start}-{start + length - 1}", "if-match": f'"{info.etag}"'}
