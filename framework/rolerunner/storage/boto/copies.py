"""Copies objects within S3, large ones in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.boto.conditions import WriteRecovery
from rolerunner.storage.boto.multipart import MultipartUploads
from rolerunner.storage.boto.reader import KEPT_OPTIONS, ObjectReader
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.resumed_uploads import ResumableUpload
from rolerunner.storage.boto.transport import BotoTransport
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.kept_times import add_mtime, source_mtime
from rolerunner.storage.parts import ObjectRange, PartUpload
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, make_skipped_copy
from rolerunner.storage.responses import build_copy_source, check_etag_returned, parse_etag
from rolerunner.storage.tuning import choose_part_size


@dataclass(frozen=True)
class Copies:
    """Copies by requests of one role that reads the source and writes the target."""

    requests: BotoRequests
    recovery: WriteRecovery
    multipart: MultipartUploads
    transport: BotoTransport

    @property
    def source_reader(self) -> ObjectReader:
        """Reads sources, whose customer key and expected owner are not those of the target."""
        return ObjectReader(replace(self.requests, access=self.requests.access.of_source))

    def copy(self, item: Copy, parts: PartExecutor) -> Outcome:
        """Copies one object. Raises StepError, ClientError."""
        info = item.info or self.source_reader.head(item.source)
        if item.skip is not None and item.skip():
            return make_skipped_copy(item, info)
        if info.size >= item.large:
            response = self._copy_parts(item, info, parts)
        else:
            response = self._copy_whole(item, info)
            self.requests.pacer.pace_bytes(info.size, parts.cancel)
        return make_copied(item, info, parse_etag(response), response.get("VersionId", ""))

    def recover(self, error: ClientError, item: Copy, info: ObjectInfo) -> Mapping[str, Any]:
        """Recovers a copy whose condition was refused. Raises StepError, ClientError.

        A server that applies If-None-Match to the source refuses every copy: where the target does
        not exist, the copy is repeated without it.
        """
        if not self.recovery.is_refused_without_target(error, item):
            return self.recovery.recover_copy(error, item, info, self.source_reader)
        options = {name: value for name, value in item.options.items() if name != "IfNoneMatch"}
        return self._copy_whole(replace(item, options=options), info)

    def _copy_whole(self, item: Copy, info: ObjectInfo) -> Mapping[str, Any]:
        options = self._complete_options(item, info)
        self.recovery.check_absent(item.target, options, repeated=item.repeated)
        with self.requests.translate_errors(item.target, item.source, info.version):
            try:
                response = self.requests.call(
                    "copy_object",
                    Bucket=item.target.bucket,
                    Key=item.target.key,
                    CopySource=build_copy_source(item.source, info),
                    CopySourceIfMatch=f'"{info.etag}"',
                    **options,
                )
            except ClientError as error:
                return self.recover(error, item, info)
        result = response.get("CopyObjectResult", {})
        check_etag_returned(result, item.target, "the copy")
        self.requests.check_encrypted(item.target, options, response.get("SSECustomerAlgorithm"))
        return {"ETag": result["ETag"], "VersionId": response.get("VersionId", "")}

    def _complete_options(self, item: Copy, info: ObjectInfo) -> dict[str, Any]:
        """Returns the options of CopyObject: replacing one kept option replaces all of them."""
        options = dict(item.options)
        if item.keep_time or any(name in options for name in KEPT_OPTIONS):
            now, kept = self.source_reader.describe(
                item.source, info.version, tags=False, replaced=options
            )
            options = {**kept, **options, "MetadataDirective": "REPLACE"}
            if item.keep_time:
                options = dict(add_mtime(options, source_mtime(now)))
        if "Tagging" in options:
            options["TaggingDirective"] = "REPLACE"
        return options

    def _copy_parts(self, item: Copy, info: ObjectInfo, parts: PartExecutor) -> Mapping[str, Any]:
        """Copies in parts; S3 carries metadata and tags over to none of these uploads."""
        now, kept = self.source_reader.describe(
            item.source, info.version, tags="Tagging" not in item.options, replaced=item.options
        )
        merged = {**kept, **item.options}
        if item.keep_time:
            merged = dict(add_mtime(merged, source_mtime(now)))
        options = {name: value for name, value in merged.items() if value}

        def send(part: PartUpload) -> dict[str, Any]:
            if part.stored is not None:
                return part.stored.completed
            return self._copy_part(item, info, part, parts)

        part_size = choose_part_size(info.size, item.part)
        journal = item.journal
        return self.multipart.upload(
            item.target,
            options,
            info.size,
            part_size,
            send,
            parts,
            lambda _: 0,
            repeated=item.repeated,
            resumable=ResumableUpload(journal, item.source, info, part_size) if journal else None,
        )

    def _copy_part(
        self, item: Copy, info: ObjectInfo, part: PartUpload, parts: PartExecutor
    ) -> dict[str, Any]:
        source = ObjectRange(item.source, info, part.start, part.length)
        parameters = {
            "CopySource": build_copy_source(item.source, info),
            "CopySourceIfMatch": source.if_match,
            "CopySourceRange": source.byte_range,
        }
        with (
            self.requests.translate_errors(item.target, item.source, info.version),
            self.source_reader.explain_if_match(item.source, info),
        ):
            completed: dict[str, Any] = parts.submit(self.transport.copy_part, part, parameters)
        self.requests.pacer.pace_bytes(part.length, parts.cancel)
        return completed


def make_copied(item: Copy, info: ObjectInfo, etag: str, version: str) -> Outcome:
    """Returns the outcome of a copy of the source that ``info`` describes."""
    return Outcome(
        item.target, info.size, None, etag, version, source=item.source, source_info=info
    )
