"""Deletes batches of objects: conditions, retries of single keys, and keys that XML cannot hold.

``Deletion.iterate_commands`` is a generator of commands that either engine executes. It is sent the
result of each, or has a StepError thrown into it. S3 API reference: DeleteObjects, DeleteObject; S3
user guide: "How to perform conditional deletes".
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import field
from urllib.parse import urlsplit

from rolerunner.errors import NotFound, StepError, UnexpectedResponse
from rolerunner.iam.actions_table import find_common_folder, is_aws_host
from rolerunner.iam.aws_errors import is_retryable, is_throttling_failure
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.deleted_objects import DeletedObjects, deleted_outcome
from rolerunner.storage.deletion_commands import (
    Commands,
    DeleteObject,
    DeleteObjects,
    HeadObject,
    Pause,
)
from rolerunner.storage.http import xml
from rolerunner.storage.protocol import ObjectInfo, Outcome

CHECKED_BATCH = 25
"""Objects that are checked one by one before their deletion; few, so that little time passes."""
CHANGED = "ObjectChanged"
"""The error type of an object that changed since it was listed."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Surrogates, which stand for bytes that were not UTF-8."""
_BASE, _MAX_BACKOFF = 0.25, 20.0
_CONDITION_FAILED = frozenset({"PreconditionFailed", "412"})
_CONDITION_REFUSED = frozenset(
    {
        "400", "501", "BadRequest", "InvalidArgument", "InvalidHeader", "InvalidRequest",
        "MalformedXML", "MethodNotAllowed", "NotImplemented", "UnexpectedContent",
        "UnsupportedArgument", "UnsupportedOperation", "UnsupportedParameter",
    }
)  # fmt: skip
"""Error codes of servers that do not support conditional deletions."""


class DeleteConditions:
    """Knows which buckets honour conditional deletions: those of S3 that have refused none.

    Other servers may ignore a condition, so their objects are also checked right before.
    """

    def __init__(self, endpoint: str) -> None:
        self._is_aws = is_aws_host(urlsplit(endpoint).hostname or "")
        self._refusing: set[str] = set()

    def are_sent(self, bucket: str) -> bool:
        """Returns True unless the bucket has refused a condition."""
        return bucket not in self._refusing

    def are_kept(self, bucket: str) -> bool:
        """Returns True if a condition is known to be honoured."""
        return self._is_aws and ":s3-outposts:" not in bucket and self.are_sent(bucket)

    def refuse(self, bucket: str) -> None:
        """Stops conditions to this bucket."""
        self._refusing.add(bucket)


@dataclass
class Deletion:
    """Deletes objects of one bucket, as many as one request takes.

    ``unchanged`` deletes only those that still have the ETag of their ``ObjectInfo``. An object
    with a version is deleted by it and needs no condition. ``describe_error`` returns the error
    of a key from its version, error code and message.
    """

    bucket: str
    objects: Sequence[ObjectInfo]
    unchanged: bool
    conditions: DeleteConditions
    tries: int
    describe_error: Callable[[S3Uri, str, str, str], StepError]
    _outcomes: dict[int, Outcome] = field(default_factory=dict, init=False)
    _checks_first: bool = field(default=False, init=False)
    _all_deleted: bool = field(default=False, init=False)
    """True if one request deleted all objects."""

    def iterate_commands(self) -> Commands[Sequence[Outcome]]:
        """Yields commands; returns outcomes in the order of the objects."""
        pending: Sequence[int] = range(len(self.objects))
        if self.unchanged:
            pending = [
                number for number in pending if self._has_identity(number, self.objects[number])
            ]
        # decided once: another batch may meanwhile find that conditions are refused, and no
        # object may be deleted without either a condition or a check
        conditional = self.unchanged and self.conditions.are_sent(self.bucket)
        self._checks_first = self.unchanged and not (
            conditional and self.conditions.are_kept(self.bucket)
        )
        step = CHECKED_BATCH if self._checks_first else max(len(pending), 1)
        for start in range(0, len(pending), step):
            yield from self._delete_batch(pending[start : start + step], conditional=conditional)
        if self._all_deleted:
            return DeletedObjects(self.bucket, self.objects)
        return [self._outcomes[number] for number in range(len(self.objects))]

    def _delete_batch(self, pending: Sequence[int], *, conditional: bool) -> Commands[None]:
        if self._checks_first:
            pending = yield from self._select_unchanged(pending)
        keys = [self.objects[number].key for number in pending]
        alone = (
            []
            if xml.is_xml_safe("".join(keys))
            else [number for number, key in zip(pending, keys) if not xml.is_xml_safe(key)]
        )
        for number in alone:
            yield from self._delete_alone(number, conditional=conditional)
        together = (
            [number for number in pending if number not in self._outcomes] if alone else pending
        )
        yield from self._delete_together(together, conditional=conditional)

    def _has_identity(self, number: int, info: ObjectInfo) -> bool:
        if not self.unchanged or info.version or info.etag:
            return True
        self._outcomes[number] = self._make_failed(
            number,
            StepError(f"{self._object_uri(info)} is kept: its ETag is unknown", type=CHANGED),
        )
        return False

    def _delete_together(self, pending: Sequence[int], *, conditional: bool) -> Commands[None]:
        for tried in range(1, self.tries + 1):
            if tried > 1 and self._checks_first:
                pending = yield from self._select_unchanged(pending)
            if not pending:
                return
            try:
                result: xml.DeleteResult = yield self._build_request(
                    pending, conditional=conditional
                )
            except StepError as error:
                if not conditional or error.type not in _CONDITION_REFUSED | _CONDITION_FAILED:
                    self._fail_all(pending, error)
                    return
                yield from self._delete_unconditionally(pending)
                return
            if len(pending) == len(self.objects) and result.has_all(
                [(info.key, info.version) for info in self.objects]
            ):
                self._all_deleted = True
                return
            changed, again = self._record_result(pending, result, conditional=conditional)
            yield from self._delete_unconditionally(changed)
            pending = list(again)
            if not pending:
                return
            if tried == self.tries:
                self._outcomes.update(
                    {number: self._make_failed(number, error) for number, error in again.items()}
                )
                return
            throttled = any(map(is_throttling_failure, again.values()))
            yield Pause(random.random() * min(_MAX_BACKOFF, _BASE * 2**tried), throttled)

    def _record_result(
        self, pending: Sequence[int], result: xml.DeleteResult, *, conditional: bool
    ) -> tuple[list[int], dict[int, StepError]]:
        """Records outcomes; returns objects whose condition failed, and those to try again."""
        changed: list[int] = []
        again: dict[int, StepError] = {}
        for number in pending:
            info = self.objects[number]
            refused = result.error_of(info.key, info.version)
            if refused is None:
                if result.has(info.key, info.version):
                    self._outcomes[number] = deleted_outcome(self.bucket, info)
                else:
                    again[number] = UnexpectedResponse(
                        f"{self._object_uri(info)}: S3 did not say whether it was deleted"
                    )
                continue
            code = refused.get("Code", "")
            error = self.describe_error(
                self._object_uri(info), info.version, code, refused.get("Message", "")
            )
            if conditional and not info.version and code in _CONDITION_FAILED | _CONDITION_REFUSED:
                changed.append(number)
            elif isinstance(error, NotFound) and error.type == "NoSuchKey":
                self._outcomes[number] = deleted_outcome(self.bucket, info)
            elif is_retryable(error) and code not in _CONDITION_FAILED:
                again[number] = error
            else:
                self._outcomes[number] = self._make_failed(number, error)
        return changed, again

    def _delete_unconditionally(self, pending: Sequence[int]) -> Commands[None]:
        """Deletes what is still unchanged after its condition was refused.

        It shows that the server does not support conditions.
        """
        self._checks_first = self._checks_first or bool(pending)
        for start in range(0, len(pending), CHECKED_BATCH):
            left = yield from self._select_unchanged(pending[start : start + CHECKED_BATCH])
            if left:
                self.conditions.refuse(self.bucket)
                yield from self._delete_together(left, conditional=False)

    def _build_request(self, pending: Sequence[int], *, conditional: bool) -> DeleteObjects:
        objects = [self.objects[number] for number in pending]
        body = xml.render_delete(
            (info.key, info.version, info.etag if conditional and not info.version else "")
            for info in objects
        )
        folder = S3Uri(self.bucket, find_common_folder(info.key for info in objects))
        return DeleteObjects(
            folder, body, next((info.version for info in objects if info.version), "")
        )

    def _delete_alone(self, number: int, *, conditional: bool) -> Commands[None]:
        info = self.objects[number]
        if _SURROGATE.search(info.key):
            uri = str(self._object_uri(info))
            message = f"{uri!a}: the key is not Unicode, so no request can name it"
            self._outcomes[number] = self._make_failed(number, StepError(message, type="UnsafeKey"))
            return
        conditional = conditional and not info.version
        try:
            yield DeleteObject(
                self._object_uri(info), info.version, info.etag if conditional else ""
            )
            self._outcomes[number] = deleted_outcome(self.bucket, info)
        except StepError as error:
            if isinstance(error, NotFound) and error.type == "NoSuchKey":
                self._outcomes[number] = deleted_outcome(self.bucket, info)
            elif conditional and error.type in _CONDITION_REFUSED | _CONDITION_FAILED:
                if (yield from self._select_unchanged([number])):
                    self.conditions.refuse(self.bucket)
                    yield from self._delete_alone(number, conditional=False)
            else:
                self._outcomes[number] = self._make_failed(number, error)

    def _select_unchanged(self, pending: Sequence[int]) -> Commands[list[int]]:
        """Checks each object; returns those to delete. A missing object counts as deleted."""
        left = []
        for number in pending:
            info = self.objects[number]
            uri = self._object_uri(info)
            try:
                if info.version:
                    left.append(number)
                    continue
                now: ObjectInfo = yield HeadObject(uri)
            except NotFound as error:
                self._outcomes[number] = (
                    deleted_outcome(self.bucket, info)
                    if error.type == "NoSuchKey"
                    else self._make_failed(number, error)
                )
            except StepError as error:
                text = f"{uri} is kept: cannot check whether it changed: {error.message}"
                self._outcomes[number] = self._make_failed(
                    number, StepError(text, hint=error.hint, type=error.type)
                )
            else:
                if now.etag == info.etag:
                    left.append(number)
                else:
                    self._outcomes[number] = self._make_failed(
                        number,
                        StepError(f"{uri} is kept: it changed since it was listed", type=CHANGED),
                    )
        return left

    def _object_uri(self, info: ObjectInfo) -> S3Uri:
        return S3Uri(self.bucket, info.key)

    def _make_failed(self, number: int, error: StepError) -> Outcome:
        info = self.objects[number]
        return Outcome(self._object_uri(info), version=info.version, status="failed", error=error)

    def _fail_all(self, pending: Sequence[int], error: StepError) -> None:
        self._outcomes.update({number: self._make_failed(number, error) for number in pending})
