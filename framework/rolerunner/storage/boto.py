"""The plain engine: boto3, threads, complete and slow."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Optional, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.diagnosis import AwsError, step_failed
from rolerunner.errors import IntegrityFailed, ServiceFailed, StepError
from rolerunner.storage.base import Cancel, Get, ObjectInfo, Outcome, Put
from rolerunner.storage.local import appearing, translated

if TYPE_CHECKING:
    from rolerunner.model import Role, S3Uri

T = TypeVar("T")

WORKERS = 16
"""Objects in flight at once."""
PART = 16 << 20
"""Bytes of a range or part."""
LARGE = 32 << 20
"""Objects of this many bytes and more go in ranges or parts."""
MAX_PARTS = 10_000
"""S3 takes no more parts in one upload (S3 user guide, multipart limits)."""
_BLOCK = 1 << 18


@dataclass(frozen=True)
class BotoStorage:
    """S3 through a boto3 client of ``role``. ``caller`` is the session's ARN, for what is said of a refusal."""

    client: Any
    role: Role
    caller: Callable[[], str]

    def list(self, prefix: S3Uri) -> Iterator[ObjectInfo]:
        """Every object under a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key)
        with self._translated(prefix.bucket, prefix.key):
            for page in pages:
                for each in page.get("Contents", ()):
                    yield _listed(each)

    def head(self, uri: S3Uri) -> ObjectInfo:
        """What S3 tells of one object; where HEAD gives no reason, a one-byte GET is asked for it."""
        with self._translated(uri.bucket, uri.key):
            try:
                return _info(uri.key, self.client.head_object(Bucket=uri.bucket, Key=uri.key))
            except ClientError as error:
                if AwsError.of(error).code not in {"400", "403"}:
                    raise
                self._first_byte(uri)
            # it may be read after all: the session had expired, and the GET brought a new one
            return _info(uri.key, self.client.head_object(Bucket=uri.bucket, Key=uri.key))

    def _first_byte(self, uri: S3Uri) -> None:
        """Read one byte, for the reason that HEAD has no body to tell. Raises ClientError."""
        try:
            self.client.get_object(Bucket=uri.bucket, Key=uri.key, Range="bytes=0-0")["Body"].close()
        except ClientError as error:
            if AwsError.of(error).code != "InvalidRange":  # an object of no bytes has no first one, and may be read
                raise

    def read(self, uri: S3Uri, limit: int) -> bytes:
        """A small object's bytes."""
        with self._translated(uri.bucket, uri.key):
            answer = self.client.get_object(Bucket=uri.bucket, Key=uri.key)
            with contextlib.closing(answer["Body"]) as body:
                if answer["ContentLength"] > limit:
                    raise ServiceFailed(f"{uri} has {answer['ContentLength']:,} bytes, more than {limit:,}", type="TooLarge")
                return bytes(body.read())

    def write(self, uri: S3Uri, data: bytes, options: Mapping[str, Any]) -> ObjectInfo:
        """Store a small object."""
        with self._translated(uri.bucket, uri.key):
            answer = self.client.put_object(Bucket=uri.bucket, Key=uri.key, Body=data, **options)
        return ObjectInfo(uri.key, len(data), _etag(answer), version=answer.get("VersionId", ""))

    def get(self, items: Iterable[Get], cancel: Cancel) -> Iterator[Outcome]:
        """Fetch objects to files."""
        return _each(items, lambda item: self._guarded(item.source, lambda: self._get(item, cancel)), cancel)

    def put(self, items: Iterable[Put], cancel: Cancel) -> Iterator[Outcome]:
        """Store files as objects."""
        return _each(items, lambda item: self._guarded(item.target, lambda: self._put(item, cancel)), cancel)

    def _guarded(self, uri: S3Uri, work: Callable[[], Outcome]) -> Outcome:
        try:
            with self._translated(uri.bucket, uri.key):
                return work()
        except StepError as error:
            return Outcome(uri, status="failed", error=error)

    def _get(self, item: Get, cancel: Cancel) -> Outcome:
        uri = item.source
        info = item.info or self.head(uri)
        with appearing(item.target) as temporary:
            if info.size >= LARGE:
                self._get_ranges(uri, info, temporary, cancel)
                etag = info.etag
            else:
                etag = self._get_whole(uri, temporary, cancel)
            size = temporary.stat().st_size
        return Outcome(uri, size, item.target, etag, info.version)

    def _get_whole(self, uri: S3Uri, temporary: Path, cancel: Cancel) -> str:
        answer = self.client.get_object(Bucket=uri.bucket, Key=uri.key)
        with temporary.open("wb") as file:
            _copy_body(answer, file, uri, cancel)
        return _etag(answer)

    def _get_ranges(self, uri: S3Uri, info: ObjectInfo, temporary: Path, cancel: Cancel) -> None:
        with temporary.open("wb") as file:
            file.truncate(info.size)

        def fetch(start: int) -> None:
            wanted = f"bytes={start}-{min(start + PART, info.size) - 1}"
            # If-Match: a change while the ranges are read is a 412, never a mixture of two versions
            answer = self.client.get_object(Bucket=uri.bucket, Key=uri.key, Range=wanted, IfMatch=f'"{info.etag}"')
            with temporary.open("r+b") as file:
                file.seek(start)
                _copy_body(answer, file, uri, cancel)

        _in_parallel(range(0, info.size, PART), fetch)

    def _put(self, item: Put, cancel: Cancel) -> Outcome:
        with translated(item.source):
            size = item.source.stat().st_size
        if size >= LARGE:
            answer = self._put_parts(item, size, cancel)
        else:
            with translated(item.source), item.source.open("rb") as file:
                answer = self.client.put_object(Bucket=item.target.bucket, Key=item.target.key, Body=file, **item.options)
        return Outcome(item.target, size, item.source, _etag(answer), answer.get("VersionId", ""))

    def _put_parts(self, item: Put, size: int, cancel: Cancel) -> Mapping[str, Any]:
        place = {"Bucket": item.target.bucket, "Key": item.target.key}
        upload = self.client.create_multipart_upload(**place, **item.options)["UploadId"]
        part_size = max(PART, -(-size // MAX_PARTS))

        def send(start: int) -> dict[str, Any]:
            _check(cancel)
            with item.source.open("rb") as file:
                file.seek(start)
                data = file.read(min(part_size, size - start))
            number = start // part_size + 1
            answer = self.client.upload_part(**place, UploadId=upload, PartNumber=number, Body=data)
            return {"PartNumber": number, "ETag": answer["ETag"]}

        try:
            parts = _in_parallel(range(0, size, part_size), send)
            answer: Mapping[str, Any] = self.client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            with contextlib.suppress(BotoCoreError, ClientError):
                self.client.abort_multipart_upload(**place, UploadId=upload)
            raise
        return answer

    @contextlib.contextmanager
    def _translated(self, bucket: str, key: str) -> Iterator[None]:
        """Foreign exceptions become StepErrors here and nowhere else in this engine."""
        try:
            yield
        except ClientError as error:
            raise step_failed(AwsError.of(error), self.role, caller=self.caller(), bucket=bucket, key=key) from error
        except BotoCoreError as error:
            raise ServiceFailed(f"s3://{bucket}/{key}: {error}", type=type(error).__name__) from error


def _each(items: Iterable[T], work: Callable[[T], Outcome], cancel: Cancel) -> Iterator[Outcome]:
    """Outcomes of many items, a bounded number in flight; items are drawn as places get free."""
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="rolerunner-s3") as pool:
        flying = 0
        for item in items:
            _check(cancel)
            pool.submit(work, item).add_done_callback(done.put)
            flying += 1
            if flying >= WORKERS * 4:
                yield done.get().result()
                flying -= 1
        for _ in range(flying):
            yield done.get().result()


def _in_parallel(starts: Iterable[int], work: Callable[[int], Any]) -> list[Any]:
    """Results in order; the first failure is raised when those in flight are done."""
    failed = threading.Event()

    def guarded(start: int) -> Any:
        if failed.is_set():
            return None
        try:
            return work(start)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(4, thread_name_prefix="rolerunner-part") as pool:
        return [future.result() for future in [pool.submit(guarded, start) for start in starts]]


def _copy_body(answer: Mapping[str, Any], file: IO[bytes], uri: S3Uri, cancel: Cancel) -> None:
    """Body to file, its length held against S3's word (botocore checks the checksum that S3 sends along)."""
    received = 0
    with contextlib.closing(answer["Body"]) as body:
        for block in iter(lambda: body.read(_BLOCK), b""):
            _check(cancel)
            file.write(block)
            received += len(block)
    if received != answer["ContentLength"]:
        raise IntegrityFailed(f"{uri}: {received:,} bytes came of {answer['ContentLength']:,}")


def _check(cancel: Cancel) -> None:
    if cancel.is_set():
        raise StepError("stopped before it was done", type="Stopped")


def _listed(each: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        each["Key"], each["Size"], str(each.get("ETag", "")).strip('"'), _iso(each.get("LastModified")),
        storage_class=each.get("StorageClass", "STANDARD"),
    )  # fmt: skip


def _info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key, answer["ContentLength"], _etag(answer), _iso(answer.get("LastModified")),
        answer.get("VersionId", ""), answer.get("StorageClass", "STANDARD"),
    )  # fmt: skip


def _etag(answer: Mapping[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _iso(moment: Optional[Any]) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else ""
