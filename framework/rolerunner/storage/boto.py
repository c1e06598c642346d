"""The plain engine: boto3, threads, complete and slow."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import queue
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from rolerunner.diagnosis import AwsError, is_passing, step_failed
from rolerunner.errors import IntegrityFailed, LocalFileFailed, ServiceFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage import checksums
from rolerunner.storage.base import Access, Cancel, Copy, Get, ObjectInfo, Outcome, Put
from rolerunner.storage.checksums import Expected
from rolerunner.storage.flow import Flow, Memory
from rolerunner.storage.local import appearing, translated

if TYPE_CHECKING:
    from rolerunner.model import Role
    from rolerunner.storage.base import Storage

T = TypeVar("T")
Batch = list[ObjectInfo]
Outcomes = list[Outcome]

WORKERS = 16
"""Objects in flight at once."""
PARTS_AT_ONCE = 8
"""Ranges and parts of large objects in flight at once, of all objects together."""
MEMORY = 128 << 20
"""Bytes that parts and small objects in flight hold at most."""
PART = 16 << 20
"""Bytes of a range or part."""
LARGE = 32 << 20
"""Objects of this many bytes and more go in ranges or parts."""
MAX_PARTS = 10_000
"""S3 takes no more parts in one upload (S3 user guide, multipart limits)."""
BATCH = 1000
"""Keys in one DeleteObjects, and in one page of a listing (S3 API reference)."""
_TRIES = 3
"""Times an object is begun again after it changed or came damaged; boto3 itself repeats single requests."""
_BLOCK = 1 << 18
_ALREADY = frozenset({"PreconditionFailed", "412"})
_KEPT = ("Metadata", "ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Expires", "WebsiteRedirectLocation")
"""What a copy keeps of its source: what HEAD tells under the names that PutObject takes."""
_PART_OPTIONS = ("RequestPayer", "ExpectedBucketOwner", "SSECustomerAlgorithm", "SSECustomerKey")


@dataclass(frozen=True)
class BotoStorage:
    """S3 through a boto3 client of ``role``. ``caller`` is the session's ARN, for what is said of a refusal."""

    client: Any
    role: Role
    caller: Callable[[], str]
    access: Access = field(default_factory=Access)
    flow: Flow = field(default_factory=Flow)

    # one request

    def _call(self, method: str, cancel: Optional[Cancel] = None, **parameters: Any) -> Mapping[str, Any]:
        """One request, at its pace, with what the step says of every request where the operation takes it and the call says no other."""
        self.flow.request(cancel)
        answer: Mapping[str, Any] = getattr(self.client, method)(**{**self._said(method), **parameters})
        return answer

    def _said(self, method: str) -> dict[str, Any]:
        access = self.access
        said = {
            "RequestPayer": "requester" if access.request_payer else "", "ExpectedBucketOwner": access.bucket_owner,
            "SSECustomerAlgorithm": "AES256" if access.customer_key else "", "SSECustomerKey": base64.b64decode(access.customer_key),
            "ExpectedSourceBucketOwner": access.source_bucket_owner,
            "CopySourceSSECustomerAlgorithm": "AES256" if access.source_key else "", "CopySourceSSECustomerKey": base64.b64decode(access.source_key),
        }  # fmt: skip
        return {name: value for name, value in said.items() if value and self._takes(method, name)}

    def _takes(self, method: str, name: str) -> bool:
        """Does the operation of this boto3 know the parameter?"""
        operation = self.client.meta.method_to_api_mapping[method]
        return name in self.client.meta.service_model.operation_model(operation).input_shape.members

    def _read_options(self, version: str) -> dict[str, Any]:
        options = {"ChecksumMode": "ENABLED"} if self._takes("get_object", "ChecksumMode") else {}
        return {**options, **({"VersionId": version} if version else {})}

    # listing

    def list(self, prefix: S3Uri, *, versions: bool = False, after: str = "", page: int = BATCH) -> Iterator[ObjectInfo]:
        """Every object or version under a prefix."""
        method, start = ("list_object_versions", "KeyMarker") if versions else ("list_objects_v2", "StartAfter")
        said = {**({start: after} if after else {}), **({"MaxKeys": page} if page != BATCH else {})}
        with self._translated(prefix):
            for answer in self._pages(method, prefix, **said):
                if versions:
                    yield from _versions(answer)
                else:
                    yield from (_listed(each) for each in answer.get("Contents", ()))

    def folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """The objects right under a prefix, and the prefixes below it."""
        with self._translated(prefix):
            for page in self._pages("list_objects_v2", prefix, Delimiter="/"):
                yield from (_listed(each) for each in page.get("Contents", ()))
                yield from (str(each["Prefix"]) for each in page.get("CommonPrefixes", ()))

    def _pages(self, method: str, prefix: S3Uri, **more: Any) -> Iterator[Mapping[str, Any]]:
        pages = self.client.get_paginator(method).paginate(Bucket=prefix.bucket, Prefix=prefix.key, **self._said(method), **more)
        for page in pages:
            yield page
            self.flow.request()

    # one object

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """What S3 tells of one object."""
        with self._translated(uri):
            return _info(uri.key, self._headers(uri, version))

    def _headers(self, uri: S3Uri, version: str) -> Mapping[str, Any]:
        """The answer to HEAD; where it gives no reason, a one-byte GET is asked for it. Raises ClientError."""
        place: dict[str, Any] = {"Bucket": uri.bucket, "Key": uri.key, **self._read_options(version)}
        try:
            return self._call("head_object", **place)
        except ClientError as error:
            if AwsError.of(error).code not in {"400", "403"}:
                raise
            self._first_byte(place)
        # it may be read after all: the session had expired, and the GET brought a new one
        return self._call("head_object", **place)

    def _first_byte(self, place: Mapping[str, Any]) -> None:
        """Read one byte, for the reason that HEAD has no body to tell. Raises ClientError."""
        try:
            self._call("get_object", **place, Range="bytes=0-0")["Body"].close()
        except ClientError as error:
            if AwsError.of(error).code != "InvalidRange":  # an object of no bytes has no first one, and may be read
                raise

    def heads(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """HEAD of many."""

        def one(uri: S3Uri) -> Outcome:
            info = self.head(uri)
            return Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)

        return _each(items, lambda uri: self._guarded(uri, lambda: one(uri), cancel), cancel)

    def part_size(self, uri: S3Uri, info: ObjectInfo) -> int:
        """Bytes of its first part. Some servers tell it to GET alone, and give HEAD the length of the whole."""
        with self._translated(uri):
            place: dict[str, Any] = {"Bucket": uri.bucket, "Key": uri.key, "PartNumber": 1, **self._read_options(info.version)}
            told = int(self._call("head_object", **place)["ContentLength"])
            if told < info.size:
                return told
            answer = self._call("get_object", **place)
            answer["Body"].close()
            return int(answer["ContentLength"])

    def read(self, uri: S3Uri, limit: int, version: str = "") -> bytes:
        """A small object's bytes."""
        with self._translated(uri):
            answer = self._call("get_object", Bucket=uri.bucket, Key=uri.key, **self._read_options(version))
            with contextlib.closing(answer["Body"]) as body:
                if answer["ContentLength"] > limit:
                    raise ServiceFailed(f"{uri} has {answer['ContentLength']:,} bytes, more than {limit:,}", type="TooLarge")
                return bytes(body.read())

    def fetch(self, uri: S3Uri, info: ObjectInfo, start: int, length: int) -> bytes:
        """A range, of the object with the ETag of ``info`` alone."""
        if length == 0:
            return b""
        with self._translated(uri):
            wanted: dict[str, Any] = {"Range": f"bytes={start}-{start + length - 1}", "IfMatch": f'"{info.etag}"'}
            answer = self._call("get_object", Bucket=uri.bucket, Key=uri.key, **wanted, **self._read_options(info.version))
            with contextlib.closing(answer["Body"]) as body:
                data = bytes(body.read())
        if len(data) != length:
            raise IntegrityFailed(f"{uri}: {len(data):,} bytes came of {length:,}")
        return data

    def describe(self, uri: S3Uri, version: str, *, tags: bool) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Metadata, headers, tags, by one HEAD."""
        with self._translated(uri):
            answer = self._headers(uri, version)
            kept = {name: answer[name] for name in _KEPT if answer.get(name)}
            if tags:
                place: dict[str, Any] = {"Bucket": uri.bucket, "Key": uri.key, **({"VersionId": version} if version else {})}
                told = self._call("get_object_tagging", **place)
                kept["Tagging"] = urlencode([(tag["Key"], tag["Value"]) for tag in told.get("TagSet", ())])
        return _info(uri.key, answer), {name: value for name, value in kept.items() if value}

    def write(self, uri: S3Uri, data: bytes, options: Mapping[str, Any]) -> ObjectInfo:
        """Store a small object."""
        with self._translated(uri):
            answer = self._call("put_object", Bucket=uri.bucket, Key=uri.key, Body=data, **options)
        return ObjectInfo(uri.key, len(data), _etag(answer), version=answer.get("VersionId", ""))

    # many objects

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Fetch objects to files."""
        with _Parts(cancel) as parts:
            yield from _each(items, lambda item: self._guarded(item.source, _again(item, lambda each: self._get(each, parts)), cancel), cancel)

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Store files as objects."""
        with _Parts(cancel) as parts:
            yield from _each(items, lambda item: self._guarded(item.target, lambda: self._put(item, parts), cancel), cancel)

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copy within S3."""
        with _Parts(cancel) as parts:
            yield from _each(items, lambda item: self._guarded(item.target, _again(item, lambda each: self._copy(each, parts)), cancel), cancel)

    def relay(self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel) -> Iterator[Outcome]:
        """Copy what another role may read."""
        with _Parts(cancel) as parts:
            yield from _each(
                items, lambda item: self._guarded(item.target, _again(item, lambda each: self._relay(each, source, parts)), cancel), cancel
            )

    def delete(self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel) -> Iterator[Outcome]:
        """Delete in batches."""
        for outcomes in _each(_batches(items, bucket), lambda batch: self._delete(*batch, cancel), cancel):
            yield from outcomes

    def _guarded(self, uri: S3Uri, work: Callable[[], Outcome], cancel: Cancel) -> Outcome:
        """The outcome, a failure as a value; what changed or broke off meanwhile is begun again."""
        for tried in range(1, _TRIES + 1):
            try:
                _check(cancel)
                with self._translated(uri):
                    return work()
            except StepError as error:
                if tried == _TRIES or not is_passing(error) or cancel.wait(0.2 * 2**tried):
                    return Outcome(uri, status="failed", error=error)
        raise AssertionError  # the last try returns

    # download

    def _get(self, item: Get, parts: _Parts) -> Outcome:
        uri = item.source
        if item.skip is not None and item.skip():
            return Outcome(uri, item.info.size if item.info else 0, item.target, item.info.etag if item.info else "", status="skipped")
        info = item.info or self.head(uri)
        if info.size >= LARGE and not info.checksum:
            info = _same(info, self.head(uri, info.version), uri)
        with appearing(item.target) as temporary:
            if info.size >= LARGE:
                self._get_ranges(uri, info, temporary, parts)
            else:
                info = self._get_whole(uri, info, temporary, parts.cancel)
            size = temporary.stat().st_size
            if item.decompress:
                _unpack(temporary, uri)
            if item.keep_time and info.modified:
                moment = datetime.strptime(info.modified, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
                os.utime(temporary, (moment, moment))
        return Outcome(uri, size, item.target, info.etag, info.version, info=info)

    def _get_whole(self, uri: S3Uri, info: ObjectInfo, temporary: Path, cancel: Cancel) -> ObjectInfo:
        answer = self._call("get_object", cancel, Bucket=uri.bucket, Key=uri.key, **self._read_options(info.version))
        now = _info(uri.key, answer)
        expected = Expected.of(now.checksum)
        running = expected.start(now.size, lambda: self.part_size(uri, now)) if expected else None
        received = 0
        with temporary.open("wb") as file, contextlib.closing(answer["Body"]) as body:
            for block in iter(lambda: body.read(_BLOCK), b""):
                self.flow.moved(len(block), cancel)
                _check(cancel)
                file.write(block)
                received += len(block)
                if running is not None:
                    running.update(block)
        if received != answer["ContentLength"]:
            raise IntegrityFailed(f"{uri}: {received:,} bytes came of {answer['ContentLength']:,}")
        if running is not None and not running.matches():
            raise IntegrityFailed(f"{uri}: the bytes that came do not have the checksum {now.checksum} that S3 tells")
        return now

    def _get_ranges(self, uri: S3Uri, info: ObjectInfo, temporary: Path, parts: _Parts) -> None:
        with temporary.open("wb") as file:
            file.truncate(info.size)

        def fetch(start: int, length: int) -> None:
            # If-Match: a change while the ranges are read is a 412, never a mixture of two versions
            wanted = {"Range": f"bytes={start}-{start + length - 1}", "IfMatch": f'"{info.etag}"', **self._read_options(info.version)}
            answer = self._call("get_object", parts.cancel, Bucket=uri.bucket, Key=uri.key, **wanted)
            with temporary.open("r+b") as file, contextlib.closing(answer["Body"]) as body:
                file.seek(start)
                for block in iter(lambda: body.read(_BLOCK), b""):
                    self.flow.moved(len(block), parts.cancel)
                    _check(parts.cancel)
                    length -= len(block)
                    file.write(block)
            if length:
                raise IntegrityFailed(f"{uri}: {length:,} bytes of a range did not come")

        with self._translated(uri):
            parts.run(_ranges(info.size, PART), fetch, lambda _: 0)
        if checksums.file_matches(temporary, info.checksum, lambda: self.part_size(uri, info)) is False:
            raise IntegrityFailed(f"{uri}: the bytes that came do not have the checksum {info.checksum} that S3 tells")

    # upload

    def _put(self, item: Put, parts: _Parts) -> Outcome:
        with translated(item.source):
            before = item.source.stat()
        size = before.st_size
        if item.skip is not None and item.skip():
            return Outcome(item.target, size, item.source, status="skipped")
        if size >= LARGE:
            answer = self._in_parts(item.target, item.options, size, _FromFile(item.source, before), parts)
        else:
            held = parts.memory.take(size, parts.cancel)
            try:
                data = _FromFile(item.source, before)(0, size)
                self.flow.moved(size, parts.cancel)
                _check(parts.cancel)
                answer = self._call("put_object", Bucket=item.target.bucket, Key=item.target.key, Body=data, **item.options)
            finally:
                parts.memory.give(held)
        return Outcome(item.target, size, item.source, _etag(answer), answer.get("VersionId", ""))

    def _in_parts(self, target: S3Uri, options: Mapping[str, Any], size: int, read: Callable[[int, int], bytes], parts: _Parts) -> Mapping[str, Any]:
        """A multipart upload of what ``read`` gives for each start and length. Aborted if anything fails."""
        part = part_of(size, PART)

        def send(upload: str, start: int, length: int) -> dict[str, Any]:
            data = read(start, length)
            self.flow.moved(length, parts.cancel)
            _check(parts.cancel)
            return self._part(target, upload, options, start // part + 1, Body=data)

        return self._multipart(target, options, _ranges(size, part), send, parts, lambda length: length)

    def _part(self, target: S3Uri, upload: str, options: Mapping[str, Any], number: int, **content: Any) -> dict[str, Any]:
        """Send or copy one part; what CompleteMultipartUpload wants to know of it."""
        method = "upload_part_copy" if "CopySource" in content else "upload_part"
        said = {name: options[name] for name in _PART_OPTIONS if name in options and self._takes(method, name)}
        if method == "upload_part" and "ChecksumAlgorithm" in options:
            said["ChecksumAlgorithm"] = options["ChecksumAlgorithm"]
        answer = self._call(method, Bucket=target.bucket, Key=target.key, UploadId=upload, PartNumber=number, **said, **content)
        told = answer.get("CopyPartResult", {}) if "CopySource" in content else answer
        _check_there(told, target, f"part {number}")
        sums = {name: value for name, value in told.items() if name.startswith("Checksum") and name != "ChecksumType"}
        return {"PartNumber": number, "ETag": told["ETag"], **sums}

    def _multipart(
        self, target: S3Uri, options: Mapping[str, Any], ranges: Iterable[tuple[int, int]], send: Callable[[str, int, int], dict[str, Any]],
        parts: _Parts, memory: Callable[[int], int],
    ) -> Mapping[str, Any]:  # fmt: skip
        place: dict[str, Any] = {"Bucket": target.bucket, "Key": target.key}
        last = {name: options[name] for name in ("IfNoneMatch", "IfMatch") if name in options}
        first = {name: value for name, value in options.items() if name not in last}
        upload = self._call("create_multipart_upload", **place, **first)["UploadId"]
        try:
            sent = parts.run(ranges, lambda start, length: send(upload, start, length), memory)
            _check(parts.cancel)
            answer = self._completed(target, upload, sent, last)
            _check_there(answer, target, "the upload's end")
        except BaseException:
            with contextlib.suppress(BotoCoreError, ClientError, StepError):
                self._call("abort_multipart_upload", **place, UploadId=upload)
            raise
        return answer

    def _completed(self, target: S3Uri, upload: str, sent: Sequence[Mapping[str, Any]], last: Mapping[str, Any]) -> Mapping[str, Any]:
        """CompleteMultipartUpload; where its answer was lost and boto3 asked again, the upload is gone and the object there."""
        place: dict[str, Any] = {"Bucket": target.bucket, "Key": target.key}
        try:
            return self._call("complete_multipart_upload", **place, UploadId=upload, MultipartUpload={"Parts": sent}, **last)
        except ClientError as error:
            if AwsError.of(error).code != "NoSuchUpload":
                raise
            there = self.head(target)
            if not there.etag.endswith(f"-{len(sent)}"):
                raise
            return {"ETag": there.etag, "VersionId": there.version}

    # copy

    def _copy(self, item: Copy, parts: _Parts) -> Outcome:
        info = item.info or self.head(item.source)
        if item.skip is not None and item.skip():
            return Outcome(item.target, info.size, status="skipped", source=item.source)
        answer = self._copy_parts(item, info, parts) if info.size >= item.large else self._copy_whole(item, info)
        return Outcome(item.target, info.size, None, _etag(answer), answer.get("VersionId", ""), source=item.source)

    def _copy_whole(self, item: Copy, info: ObjectInfo) -> Mapping[str, Any]:
        options = dict(item.options)
        if any(name in options for name in _KEPT):  # REPLACE drops whatever is not said again
            options = {**self.describe(item.source, info.version, tags=False)[1], **options, "MetadataDirective": "REPLACE"}
        if "Tagging" in options:
            options["TaggingDirective"] = "REPLACE"
        answer = self._call(
            "copy_object", Bucket=item.target.bucket, Key=item.target.key, CopySource=_copy_source(item.source, info),
            CopySourceIfMatch=f'"{info.etag}"', **options,
        )  # fmt: skip
        result = answer.get("CopyObjectResult", {})
        _check_there(result, item.target, "the copy")
        self.flow.moved(info.size)
        return {"ETag": result["ETag"], "VersionId": answer.get("VersionId", "")}

    def _copy_parts(self, item: Copy, info: ObjectInfo, parts: _Parts) -> Mapping[str, Any]:
        """In parts; a multipart upload starts empty, so metadata and tags are carried over by hand."""
        options = {**self.describe(item.source, info.version, tags="Tagging" not in item.options)[1], **item.options}
        options = {name: value for name, value in options.items() if value}
        part = part_of(info.size, item.part)

        def send(upload: str, start: int, length: int) -> dict[str, Any]:
            _check(parts.cancel)
            content = {
                "CopySource": _copy_source(item.source, info), "CopySourceIfMatch": f'"{info.etag}"',
                "CopySourceRange": f"bytes={start}-{start + length - 1}",
            }  # fmt: skip
            done = self._part(item.target, upload, options, start // part + 1, **content)
            self.flow.moved(length, parts.cancel)
            return done

        return self._multipart(item.target, options, _ranges(info.size, part), send, parts, lambda _: 0)

    # copy between two roles

    def _relay(self, item: Copy, source: Storage, parts: _Parts) -> Outcome:
        uri = item.source
        if item.skip is not None and item.skip():
            return Outcome(item.target, item.info.size if item.info else 0, status="skipped", source=uri)
        # its checksum is told, which listings do not
        info, kept = source.describe(uri, item.info.version if item.info else "", tags="Tagging" not in item.options)
        options = {name: value for name, value in {**kept, **item.options}.items() if value}
        expected = Expected.of(info.checksum)
        running = expected.start(info.size, lambda: source.part_size(uri, info)) if expected else None
        if info.size < LARGE:
            held = parts.memory.take(info.size, parts.cancel)
            try:
                data = source.fetch(uri, info, 0, info.size)
                if running is not None:
                    running.update(data)
                _proved(uri, info, running)
                self.flow.moved(info.size, parts.cancel)
                _check(parts.cancel)
                answer = self._call("put_object", Bucket=item.target.bucket, Key=item.target.key, Body=data, **self._with_crc(options))
            finally:
                parts.memory.give(held)
        else:
            answer = self._relay_parts(item, info, source, self._with_crc(options), running, parts)
        return Outcome(item.target, info.size, None, _etag(answer), answer.get("VersionId", ""), source=uri)

    def _relay_parts(
        self, item: Copy, info: ObjectInfo, source: Storage, options: Mapping[str, Any], running: Optional[checksums.Running], parts: _Parts
    ) -> Mapping[str, Any]:
        turns = _Turns()

        def read(start: int, length: int) -> bytes:
            with turns.failing():
                data = source.fetch(item.source, info, start, length)
                with turns.turn(start, start + length):  # the whole object's checksum is computed over its parts in their order
                    if running is not None:
                        running.update(data)
                    if start + length == info.size:
                        _proved(item.source, info, running)
            return data

        return self._in_parts(item.target, options, info.size, read, parts)

    def _with_crc(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """S3 is told a CRC32 of what it gets, unless the step says another one."""
        known = self._takes("put_object", "ChecksumAlgorithm")
        return {"ChecksumAlgorithm": "CRC32", **options} if known else options

    # delete

    def _delete(self, bucket: str, batch: Batch, cancel: Cancel) -> Outcomes:
        uris = [S3Uri(bucket, info.key) for info in batch]
        keys = [{"Key": info.key, **({"VersionId": info.version} if info.version else {})} for info in batch]
        try:
            _check(cancel)
            with self._translated(S3Uri(bucket)):
                answer = self._call("delete_objects", cancel, Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        except StepError as error:
            return [Outcome(uri, version=info.version, status="failed", error=error) for uri, info in zip(uris, batch)]
        refused = {(each.get("Key"), each.get("VersionId") or ""): each for each in answer.get("Errors", ())}
        return [self._deleted(uri, info, refused.get((info.key, info.version))) for uri, info in zip(uris, batch)]

    def _deleted(self, uri: S3Uri, info: ObjectInfo, refused: Optional[Mapping[str, Any]]) -> Outcome:
        if refused is None:
            return Outcome(uri, info.size, etag=info.etag, version=info.version)
        told = AwsError(str(refused.get("Code", "")), str(refused.get("Message", "")), "DeleteObjects")
        return Outcome(
            uri, version=info.version, status="failed", error=step_failed(told, self.role, caller=self.caller(), bucket=uri.bucket, key=uri.key)
        )

    @contextlib.contextmanager
    def _translated(self, uri: S3Uri) -> Iterator[None]:
        """Foreign exceptions become StepErrors here and nowhere else in this engine."""
        try:
            yield
        except ClientError as error:
            told = AwsError.of(error)
            if told.code in _ALREADY and told.operation in {"PutObject", "CompleteMultipartUpload"}:
                hint = "it was written by somebody else, or by an earlier run"
                raise StepError(f"{uri}: is there already, or is not the one that was expected", hint=hint, type="AlreadyThere") from error
            raise step_failed(told, self.role, caller=self.caller(), bucket=uri.bucket, key=uri.key) from error
        except BotoCoreError as error:
            name = type(error).__name__
            if name == "FlexibleChecksumError":  # newer boto3 proves some checksums by itself
                raise IntegrityFailed(f"{uri}: {error}") from error
            raise ServiceFailed(f"{uri}: {error}", type=name) from error
        except ResponseParserError as error:  # not among botocore's own errors: an answer that is no XML
            raise ServiceFailed(f"{uri}: the answer cannot be read: {str(error).splitlines()[0]}", type="InternalError") from error


# work on many things at once


def _each(items: Iterable[Union[T, Outcome]], work: Callable[[T], Any], cancel: Cancel) -> Iterator[Any]:
    """What becomes of many items, a bounded number in flight; items are drawn as places get free. An Outcome is settled."""
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="rolerunner-s3") as pool:
        flying = 0
        for item in items:
            _check(cancel)
            if isinstance(item, Outcome):
                yield item
                continue
            pool.submit(work, item).add_done_callback(done.put)
            flying += 1
            if flying >= WORKERS * 4:
                yield done.get().result()
                flying -= 1
        for _ in range(flying):
            yield done.get().result()


class _Parts:
    """Ranges and parts of large objects, of all objects of one operation together: so many threads, so much memory."""

    def __init__(self, cancel: Cancel) -> None:
        self.cancel = cancel
        self.memory = Memory(MEMORY)
        self._pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="rolerunner-part")

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(self, ranges: Iterable[tuple[int, int]], work: Callable[[int, int], Any], memory: Callable[[int], int]) -> list[Any]:
        """Results in order. The first failure is raised when those in flight are done; no other begins after it.

        Memory is taken here, in the order of the ranges: a part that waits for the one before it never holds what that needs.
        """
        failed = threading.Event()
        futures: list[Future[Any]] = []
        for start, length in ranges:
            if failed.is_set() or self.cancel.is_set():
                break
            held = self.memory.take(memory(length), self.cancel)
            while not failed.is_set() and sum(not future.done() for future in futures[-PARTS_AT_ONCE * 2 :]) >= PARTS_AT_ONCE * 2:
                time.sleep(0.01)
            futures.append(self._pool.submit(self._guarded, work, start, length, held, failed))
        results = [future.result() for future in futures]
        _check(self.cancel)
        return results

    def _guarded(self, work: Callable[[int, int], Any], start: int, length: int, held: int, failed: threading.Event) -> Any:
        try:
            return None if failed.is_set() else work(start, length)
        except BaseException:
            failed.set()
            raise
        finally:
            self.memory.give(held)


class _Turns:
    """Threads that work on parts of one thing take turns in the order of the parts."""

    def __init__(self) -> None:
        self._next = 0
        self._broken = False
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def turn(self, start: int, end: int) -> Iterator[None]:
        """Wait until all before ``start`` had theirs; the next one begins at ``end``. Raises StepError where one of them failed."""
        with self._changed:
            while self._next != start:
                if self._broken:
                    raise StepError("an earlier part failed", type="Stopped")
                self._changed.wait(0.5)
            yield
            self._next = end
            self._changed.notify_all()

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """If the block fails, those that wait for it stop waiting."""
        try:
            yield
        except BaseException:
            with self._changed:
                self._broken = True
                self._changed.notify_all()
            raise


def _again(item: T, work: Callable[[T], Outcome]) -> Callable[[], Outcome]:
    """Work on the item; a second time without what was known of it, which may have changed."""
    first = iter([item])
    known = getattr(item, "info", None)
    fresh = item if known is not None and known.version else replace(item, info=None)  # type: ignore[type-var]
    return lambda: work(next(first, fresh))


def _batches(items: Iterable[ObjectInfo], bucket: str) -> Iterator[tuple[str, list[ObjectInfo]]]:
    rest = iter(items)
    for batch in iter(lambda: list(islice(rest, BATCH)), []):
        by_bucket: dict[str, list[ObjectInfo]] = {}
        for info in batch:
            by_bucket.setdefault(info.bucket or bucket, []).append(info)
        yield from by_bucket.items()


# bytes and ranges


def part_of(size: int, wanted: int) -> int:
    """Bytes of a part: as wanted, or so many more that 10,000 parts hold the object, in whole MiB."""
    least = -(-size // MAX_PARTS)
    return max(wanted, -(-least // (1 << 20)) << 20)


def _ranges(size: int, part: int) -> Iterator[tuple[int, int]]:
    return ((start, min(part, size - start)) for start in range(0, size, part))


@dataclass(frozen=True)
class _FromFile:
    """Reads a file's ranges, and sees when it is not what it was at first. Raises LocalFileFailed."""

    path: Path
    before: os.stat_result

    def __call__(self, start: int, length: int) -> bytes:
        with translated(self.path), self.path.open("rb") as file:
            file.seek(start)
            data = file.read(length)
            now = os.fstat(file.fileno())
        changed = (now.st_size, now.st_mtime_ns, now.st_ino) != (self.before.st_size, self.before.st_mtime_ns, self.before.st_ino)
        if changed or len(data) != length:
            hint = "upload it when whoever writes it is done"
            raise LocalFileFailed(f"{self.path}: the file changed while it was read", hint=hint, type="FileChanged")
        return data


def _unpack(temporary: Path, uri: S3Uri) -> None:
    """Replace a gzip file by what it holds. Raises IntegrityFailed for one that is not gzip, or not whole."""
    unpacked = temporary.with_name(f"{temporary.name}.gunzip")
    try:
        with gzip.open(temporary, "rb") as packed, unpacked.open("wb") as file:
            for block in iter(lambda: packed.read(_BLOCK), b""):
                file.write(block)
        unpacked.replace(temporary)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IntegrityFailed(f"{uri}: cannot be unpacked: {error}", hint="leave 'decompress' out", type="NotGzip") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            unpacked.unlink()


def _proved(uri: S3Uri, info: ObjectInfo, running: Optional[checksums.Running]) -> None:
    if running is not None and not running.matches():
        raise IntegrityFailed(f"{uri}: the bytes that came do not have the checksum {info.checksum} that S3 tells")


def _same(listed: ObjectInfo, now: ObjectInfo, uri: S3Uri) -> ObjectInfo:
    if listed.etag and listed.etag != now.etag:
        raise IntegrityFailed(f"{uri}: the object changed since it was listed")
    return now


def _check_there(answer: Mapping[str, Any], target: S3Uri, what: str) -> None:
    """An answer of 200 may hold an error, or nothing: only an ETag says that it worked. Raises ServiceFailed."""
    if not answer.get("ETag"):
        raise ServiceFailed(f"{target}: S3 said 200 to {what}, but not that it is there", type="InternalError")


def _copy_source(uri: S3Uri, info: ObjectInfo) -> dict[str, str]:
    return {"Bucket": uri.bucket, "Key": uri.key, **({"VersionId": info.version} if info.version else {})}


def _check(cancel: Cancel) -> None:
    if cancel.is_set():
        raise StepError("stopped before it was done", type="Stopped")


# answers


def _listed(each: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        each["Key"], each["Size"], str(each.get("ETag", "")).strip('"'), _iso(each.get("LastModified")),
        storage_class=each.get("StorageClass") or "STANDARD",
    )  # fmt: skip


def _versions(page: Mapping[str, Any]) -> Iterator[ObjectInfo]:
    """Versions and delete markers of a page, in the order of keys, the newest first."""
    versions = [replace(_listed(each), version=each["VersionId"]) for each in page.get("Versions", ())]
    markers = [
        ObjectInfo(each["Key"], 0, modified=_iso(each.get("LastModified")), version=each["VersionId"], deleted=True)
        for each in page.get("DeleteMarkers", ())
    ]
    newest_first = sorted([*versions, *markers], key=lambda info: info.modified, reverse=True)
    yield from sorted(newest_first, key=lambda info: info.key.encode())


def _info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key, answer["ContentLength"], _etag(answer), _iso(answer.get("LastModified")),
        answer.get("VersionId") or "", answer.get("StorageClass") or "STANDARD", checksums.told(answer),
    )  # fmt: skip


def _etag(answer: Mapping[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _iso(moment: Optional[Any]) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else ""
