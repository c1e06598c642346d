"""Large objects over the lane: ranges and parts, each in a thread, none held whole in memory where that can be helped."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.common.files import translate_os_errors
from rolerunner.common.wording import format_count
from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.iam.aws_errors import TRAILER_REFUSED, AwsError
from rolerunner.model import S3Uri
from rolerunner.storage import integrity, payloads
from rolerunner.storage.concurrency import PartExecutor, PartSequencer
from rolerunner.storage.http.aws_chunked import STREAMING_PAYLOAD, ChunkedBody
from rolerunner.storage.http.blocking import BlockingClient
from rolerunner.storage.http.connection_pool import BLOCK_SIZE
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.request_bodies import FileRange
from rolerunner.storage.http.sigv4 import UNSIGNED_PAYLOAD
from rolerunner.storage.http.tasks import RetryPolicy, Task
from rolerunner.storage.integrity import CrcCombiner, RunningChecksum, compute_digest, encode_base64
from rolerunner.storage.local_files import UploadSource, check_range_headers, verify_checksum
from rolerunner.storage.native.requests import (
    LaneRequests,
    checksum_header,
    hashed_by,
    version_query,
)
from rolerunner.storage.native.templates import PLACE, Declined
from rolerunner.storage.protocol import Copy, ObjectInfo
from rolerunner.storage.responses import check_etag_returned
from rolerunner.storage.tuning import choose_part_size

if TYPE_CHECKING:
    from rolerunner.storage.protocol import Storage


class LaneLarge(LaneRequests):
    """Ranges and parts as the plain engine has them, over the lane."""

    def _range(
        self, uri: S3Uri, info: ObjectInfo, start: int, length: int, landing: Any, cancel: Cancel
    ) -> None:
        """As the plain engine's, over the lane."""
        began = landing.got
        steps = self._range_steps(uri, info, start, length, landing, self._asking(cancel))
        try:
            with self._if_match(uri, info):
                BlockingClient(self._lines, cancel).run(steps)
        except Declined:
            assert landing.got == began  # noqa: S101 - it is declined before anything is asked
            super()._range(uri, info, start, length, landing, cancel)

    def _range_steps(
        self, uri: S3Uri, info: ObjectInfo, start: int, length: int, sink: Any, asking: RetryPolicy
    ) -> Task[Response]:
        wanted = _range_headers(info, start, length)
        return self._asked(
            asking,
            "get_object",
            uri,
            self._checked,
            wanted,
            query=version_query(info.version),
            sink=sink,
        )

    def read_range(
        self, uri: S3Uri, info: ObjectInfo, start: int, length: int, cancel: Optional[Cancel] = None
    ) -> bytes:
        """A range, of the object with the ETag of ``info`` alone."""
        if length == 0:
            return b""
        data = bytearray(length)
        self._fetch_into(memoryview(data), uri, info, start, (), cancel or Cancel())
        return data  # type: ignore[return-value]  # bytes in all but name, and not copied

    def _fetch_into(
        self,
        data: memoryview,
        uri: S3Uri,
        info: ObjectInfo,
        start: int,
        algorithms: Sequence[str],
        cancel: Cancel,
    ) -> Mapping[str, bytes]:
        """Fill ``data`` with the range that begins at ``start``; its checksums. Raises StepError."""
        collected = _Collected(info, start, data, algorithms)
        try:
            with self._translated(uri, version=info.version), self._if_match(uri, info):
                BlockingClient(self._lines, cancel).run(
                    self._range_steps(uri, info, start, len(data), collected, self._asking(cancel))
                )
        except Declined:
            collected.write(memoryview(super().read_range(uri, info, start, len(data), cancel)))
        if collected.got != len(data):
            raise IntegrityFailed(
                f"{uri}: {format_count(collected.got, 'byte')} came of {len(data):,}"
            )
        return {name: each.digest() for name, each in collected.hashes.items()}

    def _held(self, length: int) -> int:
        """A part is sent straight from the file."""
        del length
        return 0

    def _file_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """S3 is told the checksum of each part, unless it is one that cannot be computed here."""
        known = self._with_crc(options)
        return known if integrity.can_compute(str(known.get("ChecksumAlgorithm", ""))) else options

    def part_of_file(
        self,
        file: UploadSource,
        target: S3Uri,
        options: Mapping[str, Any],
        upload: str,
        number: int,
        start: int,
        length: int,
        cancel: Cancel,
    ) -> dict[str, Any]:
        """As the plain engine's, straight from the file: first its checksum is computed, then it goes."""
        algorithm, _ = hashed_by(options)
        if "ChecksumAlgorithm" not in options or not integrity.can_compute(algorithm):
            return super().part_of_file(
                file, target, options, upload, number, start, length, cancel
            )
        with translate_os_errors(file.path):
            descriptor = file.open()
        try:
            body = FileRange(descriptor, start, length, lambda count: self._moved(count, cancel))
            running = integrity.create_hash(algorithm)
            for block in body.read_blocks():
                running.update(block)
                cancel.stop_if_set()
            told = self._part_sent(
                target,
                upload,
                options,
                number,
                checksum_header(algorithm, encode_base64(running.digest())),
                body,
                cancel,
            )
            file.check(descriptor)
        except Declined:
            return super().part_of_file(
                file, target, options, upload, number, start, length, cancel
            )
        finally:
            os.close(descriptor)
        return told

    def _send_part(
        self,
        target: S3Uri,
        upload: str,
        options: Mapping[str, Any],
        number: int,
        data: Any,
        cancel: Cancel,
    ) -> dict[str, Any]:
        """As the plain engine's, over the lane."""
        algorithm, _ = hashed_by(options)
        if "ChecksumAlgorithm" not in options or not integrity.can_compute(algorithm):
            return super()._send_part(target, upload, options, number, data, cancel)
        return self._send_proved(
            target, upload, options, number, data, compute_digest(algorithm, data), cancel
        )

    def _send_proved(
        self,
        target: S3Uri,
        upload: str,
        options: Mapping[str, Any],
        number: int,
        data: Any,
        digest: str,
        cancel: Cancel,
    ) -> dict[str, Any]:
        """A part whose checksum is known, in base64."""
        try:
            return self._part_sent(
                target,
                upload,
                options,
                number,
                checksum_header(hashed_by(options)[0], digest),
                data,
                cancel,
            )
        except Declined:
            return super()._send_part(target, upload, options, number, bytes(data), cancel)

    def _part_sent(
        self, target: S3Uri, upload: str, options: Mapping[str, Any], number: int, headers: Mapping[str, str], body: Any, cancel: Cancel,
        payload: str = UNSIGNED_PAYLOAD,
    ) -> dict[str, Any]:  # fmt: skip
        """Send a part; what CompleteMultipartUpload wants to know of it, but for a checksum that was no header."""
        said = {
            name: value
            for name, value in options.items()
            if name in ("SSECustomerAlgorithm", "SSECustomerKey")
        }

        answer = BlockingClient(self._lines, cancel).run(
            self._asked(
                self._asking(cancel), "upload_part", target, said, headers, query=(("partNumber", str(number)), ("uploadId", upload)),
                body=body, length=len(body), payload=payload,
            )
        )  # fmt: skip
        etag = answer.headers.get("etag", "")
        check_etag_returned({"ETag": etag}, target, f"part {number}")
        sums = {
            f"Checksum{name.rpartition('-')[2].upper()}": value
            for name, value in headers.items()
            if name.startswith("x-amz-checksum-")
        }
        return {"PartNumber": number, "ETag": etag, **sums}

    # copies between two roles

    def _relay_parts(
        self,
        item: Copy,
        info: ObjectInfo,
        source: Storage,
        options: Mapping[str, Any],
        running: Optional[RunningChecksum],
        parts: PartExecutor,
    ) -> Mapping[str, Any]:
        """As the plain engine's; parts that are too large to be held go through in blocks, with the checksum behind them."""
        proof = _Proof(item.source, info, running)
        part = choose_part_size(info.size, self.tuning.part)
        too_large = self._is_too_large(part, source)
        if (
            not isinstance(source, LaneLarge)
            or options.get("ChecksumAlgorithm") != "CRC32"
            or (proof.in_order and not too_large)
        ):
            return super()._relay_parts(item, info, source, options, running, parts)
        turns = PartSequencer()

        def send(upload: str, number: int, start: int, length: int) -> dict[str, Any]:
            try:
                return send_part(upload, number, start, length)
            except StepError as error:
                if error.type == TRAILER_REFUSED:
                    payloads.disable_trailers(self.client)  # which the next try of the object knows
                raise

        def send_part(upload: str, number: int, start: int, length: int) -> dict[str, Any]:
            told: dict[str, Any]
            if not proof.in_order:
                told, digest = parts.submit(
                    self.relay_part, item.source, info, proof.algorithm, item.target, options, upload, number, start, length, too_large,
                    source=source,
                )  # fmt: skip
                proof.add(start, length, digest)
                return told
            with turns.abort_on_error(), turns.wait_turn(start, start + length):
                told, body = self._relay_blocks(
                    source,
                    item.source,
                    info,
                    proof.begin,
                    item.target,
                    options,
                    upload,
                    number,
                    start,
                    length,
                    parts.cancel,
                )
                proof.go_on(length, body.computed)
            return told

        held = (lambda _: 0) if too_large else (lambda length: length)
        return self._in_parts(
            item.target, options, info.size, part, send, parts, held, repeated=item.repeated
        )

    def _is_too_large(self, part: int, source: Storage) -> bool:
        """Is a part of so many bytes not to be held in memory? What the lane declines must be: boto3 does not send what is not there yet."""
        if (
            part <= self.tuning.memory // 4
            or not isinstance(source, LaneLarge)
            or not payloads.takes_trailers(self.client)
        ):
            return False
        return source.takes("get_object") and self.takes("upload_part")

    def takes(self, method: str) -> bool:
        """Does the lane take such requests, as far as that does not hang on the bucket?"""
        try:
            self._template(method, PLACE, {})
        except Declined:
            return False
        return True

    def relay_part(
        self, source: LaneLarge, uri: S3Uri, info: ObjectInfo, algorithm: str, target: S3Uri, options: Mapping[str, Any], upload: str, number: int,
        start: int, length: int, in_blocks: bool, cancel: Cancel,
    ) -> tuple[dict[str, Any], bytes]:  # fmt: skip
        """Send a range of the source as a part: what CompleteMultipartUpload wants to know of it, and its checksum by ``algorithm``, if any."""
        if in_blocks:
            make = partial(integrity.create_hash, algorithm) if algorithm else _Nothing
            told, body = self._relay_blocks(
                source, uri, info, make, target, options, upload, number, start, length, cancel
            )
            return told, body.computed.digest()
        with self._lines.borrow_memory(length) as data:
            digests = source._fetch_into(
                data, uri, info, start, sorted({"CRC32", algorithm} - {""}), cancel
            )
            self._moved(length, cancel)
            told = self._send_proved(
                target, upload, options, number, data, encode_base64(digests["CRC32"]), cancel
            )
        return told, digests.get(algorithm, b"")

    def _relay_blocks(
        self, source: LaneLarge, uri: S3Uri, info: ObjectInfo, make: Callable[[], Any], target: S3Uri, options: Mapping[str, Any], upload: str,
        number: int, start: int, length: int, cancel: Cancel,
    ) -> tuple[dict[str, Any], Any]:  # fmt: skip
        """A part block by block; also the body that was sent, which has computed what ``make`` makes."""
        body = ChunkedBody(
            lambda: self._counted(source._pulled(uri, info, start, length, cancel), cancel),
            length,
            BLOCK_SIZE,
            make,
        )
        try:
            told = self._part_sent(
                target, upload, options, number, body.headers, body, cancel, STREAMING_PAYLOAD
            )
        except ClientError as error:
            if not payloads.is_trailer_refusal(AwsError.from_client_error(error)):
                raise
            raise payloads.trailer_refused_error(AwsError.from_client_error(error)) from error
        return {**told, "ChecksumCRC32": body.checksum}, body

    def _pulled(
        self, uri: S3Uri, info: ObjectInfo, start: int, length: int, cancel: Cancel
    ) -> Iterator[bytes]:
        """A range, block by block. Raises StepError about this role and object, not about the part that the blocks are for."""
        wanted = _range_headers(info, start, length)
        made = self._template("get_object", uri.bucket, self._checked)
        while wait := self.flow.throttle.wait():
            cancel.wait(wait)
            cancel.stop_if_set()
        self.flow.pace_request(cancel)
        request = made.request(
            uri.key, wanted, query=version_query(info.version), sink=_Checked(info, start, length)
        )
        got = 0
        with self._translated(uri, version=info.version), self._if_match(uri, info):
            for block in BlockingClient(self._lines, cancel).stream(request):
                got += len(block)
                yield block
        if got != length:
            raise IntegrityFailed(f"{uri}: {format_count(got, 'byte')} came of {length:,}")

    def _counted(self, blocks: Iterator[bytes], cancel: Cancel) -> Iterator[bytes]:
        for block in blocks:
            yield block
            self._moved(len(block), cancel)


class _Proof:
    """The whole object's checksum over parts that go by: a CRC is put together from theirs, any other needs them in order."""

    def __init__(self, uri: S3Uri, info: ObjectInfo, running: Optional[RunningChecksum]) -> None:
        self._uri = uri
        self._info = info
        self._running = running
        self._pieces = CrcCombiner.of(info.checksum)
        self._left = info.size
        self._lock = threading.Lock()
        self.in_order = running is not None and self._pieces is None
        self.algorithm = self._pieces.algorithm if self._pieces is not None else ""
        """Of parts that may come in any order; none where there is nothing to prove."""

    def add(self, start: int, length: int, digest: bytes) -> None:
        """A part has gone by. Raises IntegrityFailed after the last one, where the whole is not what S3 tells."""
        with self._lock:
            self._left -= length
            if self._pieces is not None:
                self._pieces.add(start, length, digest)
                if not self._left and not self._pieces.matches():
                    raise IntegrityFailed(
                        f"{self._uri}: the bytes that came do not have the checksum {self._info.checksum} that S3 tells"
                    )

    def begin(self) -> Any:
        """What the next part's bytes are to be fed to, for each try anew."""
        assert self._running is not None  # noqa: S101 - it is in order
        return self._running.copy()

    def go_on(self, length: int, computed: Any) -> None:
        """The next part has gone by. Raises as ``add``."""
        self._left -= length
        self._running = computed
        if not self._left:
            verify_checksum(self._uri, self._info, self._running)


class _Nothing:
    def update(self, data: Any) -> None:
        """Nothing is known to prove."""

    def digest(self) -> bytes:
        return b""


class _Checked:
    """Looks whether it is the range that was asked for."""

    def __init__(self, info: ObjectInfo, start: int, length: int) -> None:
        self._info = info
        self._start, self._length = start, length

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        check_range_headers(status, headers, self._info, self._start, self._length)

    def write(self, data: bytes) -> None:
        """It goes by."""


class _Collected:
    """A range in memory, in one piece: what is read is read straight to its place. Its checksums are computed as it comes."""

    def __init__(
        self, info: ObjectInfo, start: int, data: memoryview, algorithms: Iterable[str]
    ) -> None:
        self._info = info
        self._start = start
        self._data = data
        self._algorithms = tuple(algorithms)
        self.hashes = {name: integrity.create_hash(name) for name in self._algorithms}
        self.got = 0

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        check_range_headers(status, headers, self._info, self._start, len(self._data))
        self.hashes = {name: integrity.create_hash(name) for name in self._algorithms}
        self.got = 0

    def room(self, most: int) -> memoryview:
        """Where the next bytes are to be read to; they are given to ``write`` then."""
        return self._data[self.got : self.got + most]

    def write(self, data: Any) -> None:
        end = self.got + len(data)
        if end > len(self._data):
            raise IntegrityFailed("more bytes came than were asked for")
        if not isinstance(data, memoryview) or data.obj is not self._data.obj:
            self._data[self.got : end] = data
        for each in self.hashes.values():
            each.update(data)
        self.got = end


def _range_headers(info: ObjectInfo, start: int, length: int) -> dict[str, str]:
    """A range, of the object with this ETag alone."""
    return {"range": f"bytes={start}-{start + length - 1}", "if-match": f'"{info.etag}"'}
