"""Deletion of objects in batches: conditions, retries of single keys, keys that XML cannot hold; the same for both engines.

``Deletion.iterate_commands`` is a generator of commands, which an engine carries out: it is sent the result of each, and a StepError is
thrown into it where one fails. S3 API reference: DeleteObjects, DeleteObject; S3 user guide: "How to perform conditional deletes".
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union
from urllib.parse import urlsplit

from rolerunner.errors import NotFound, ServiceFailed, StepError
from rolerunner.iam.actions_table import find_common_folder, is_aws_host
from rolerunner.iam.aws_errors import is_retryable, is_throttling_failure
from rolerunner.model import S3Uri
from rolerunner.storage.http import xml
from rolerunner.storage.protocol import ObjectInfo, Outcome

T = TypeVar("T")
CHECKED_BATCH = 25
"""Objects of a batch that are looked at one after the other right before their deletion: so few that the window stays small."""
CHANGED = "ObjectChanged"
"""The type of the failure of an object that is not the one that was meant to be deleted."""
_HALF = re.compile("[\ud800-\udfff]")
"""Half a character: of text that was not UTF-8."""
_BASE, _MAX_BACKOFF = 0.25, 20.0
_CONDITION_FAILED = frozenset({"PreconditionFailed", "412"})
_CONDITION_REFUSED = frozenset(
    {
        "NotImplemented", "501", "400", "BadRequest", "InvalidArgument", "InvalidRequest", "MalformedXML", "MethodNotAllowed", "UnsupportedArgument",
        "UnsupportedOperation", "UnsupportedParameter", "InvalidHeader", "UnexpectedContent",
    }
)  # fmt: skip
"""Error codes of servers that do not know conditional deletions."""


@dataclass(frozen=True)
class DeleteObjects:
    """One DeleteObjects; its result is a ``xml.Deletions``."""

    uri: S3Uri
    """The folder that all keys have in common."""
    body: bytes
    version: str = ""
    """One of the versions that it names, if it names any."""


@dataclass(frozen=True)
class DeleteObject:
    """One DeleteObject, for a key that XML cannot hold; without a result. ``etag``: the condition, empty for none."""

    uri: S3Uri
    version: str = ""
    etag: str = ""


@dataclass(frozen=True)
class HeadObject:
    """One HEAD; its result is an ``ObjectInfo``."""

    uri: S3Uri
    version: str = ""


@dataclass(frozen=True)
class Pause:
    """A wait before the next try. ``throttled``: the server asked for fewer requests."""

    seconds: float
    throttled: bool = False


Command = Union[DeleteObjects, DeleteObject, HeadObject, Pause]
Commands = Generator[Command, Any, T]


class DeleteConditions:
    """Where conditional deletions can be relied on: S3 itself, as long as a bucket has not refused one.

    Other servers may ignore a condition, so objects there are looked at as well, right before.
    """

    def __init__(self, endpoint: str) -> None:
        self._is_aws = is_aws_host(urlsplit(endpoint).hostname or "")
        self._refusing: set[str] = set()

    def are_sent(self, bucket: str) -> bool:
        """Returns True unless the bucket has refused a condition."""
        return bucket not in self._refusing

    def are_kept(self, bucket: str) -> bool:
        """Returns True where a condition is known to be honoured."""
        return self._is_aws and ":s3-outposts:" not in bucket and self.are_sent(bucket)

    def refuse(self, bucket: str) -> None:
        """Send no more conditions to this bucket."""
        self._refusing.add(bucket)


@dataclass
class Deletion:
    """Deletes objects of one bucket, as many as one request takes.

    ``unchanged``: only those that still have the ETag of their ``ObjectInfo``. An object with a version is deleted by it, which
    needs no condition. ``describe_error`` makes the failure of a key from its version, error code and message.
    """

    bucket: str
    objects: Sequence[ObjectInfo]
    unchanged: bool
    conditions: DeleteConditions
    tries: int
    describe_error: Callable[[S3Uri, str, str, str], StepError]
    _outcomes: dict[int, Outcome] = field(default_factory=dict, init=False)
    _looks: bool = field(default=False, init=False)

    def iterate_commands(self) -> Commands[Sequence[Outcome]]:
        """Outcomes in the order of the objects."""
        pending: Sequence[int] = range(len(self.objects))
        if self.unchanged:
            pending = [number for number in pending if self._is_known(number, self.objects[number])]
        # both are settled once: another batch may find out meanwhile that conditions are refused, and without one nothing goes unseen
        conditional = self.unchanged and self.conditions.are_sent(self.bucket)
        self._looks = self.unchanged and not (conditional and self.conditions.are_kept(self.bucket))
        step = CHECKED_BATCH if self._looks else max(len(pending), 1)
        for start in range(0, len(pending), step):
            yield from self._delete(pending[start : start + step], conditional=conditional)
        return [self._outcomes[number] for number in range(len(self.objects))]

    def _delete(self, pending: Sequence[int], *, conditional: bool) -> Commands[None]:
        if self._looks:
            pending = yield from self._unchanged_of(pending)
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

    def _is_known(self, number: int, info: ObjectInfo) -> bool:
        if not self.unchanged or info.version or info.etag:
            return True
        self._outcomes[number] = self._failed(
            number, StepError(f"{self._uri(info)} is kept: its ETag is not known", type=CHANGED)
        )
        return False

    # one request for many

    def _delete_together(self, pending: Sequence[int], *, conditional: bool) -> Commands[None]:
        for tried in range(1, self.tries + 1):
            if tried > 1 and self._looks:
                pending = yield from self._unchanged_of(pending)
            if not pending:
                return
            try:
                result: xml.DeleteResult = yield self._request(pending, conditional=conditional)
            except StepError as error:
                if not conditional or error.type not in _CONDITION_REFUSED | _CONDITION_FAILED:
                    self._fail_all(pending, error)
                    return
                yield from self._delete_unconditionally(pending)
                return
            changed, again = self._sort_out(pending, result, conditional=conditional)
            yield from self._delete_unconditionally(changed)
            pending = list(again)
            if not pending:
                return
            if tried == self.tries:
                self._outcomes.update(
                    {number: self._failed(number, error) for number, error in again.items()}
                )
                return
            throttled = any(map(is_throttling_failure, again.values()))
            yield Pause(random.random() * min(_MAX_BACKOFF, _BASE * 2**tried), throttled)

    def _sort_out(
        self, pending: Sequence[int], result: xml.DeleteResult, *, conditional: bool
    ) -> tuple[list[int], dict[int, StepError]]:
        """Settles what is settled; returns those whose condition was refused or did not hold, and those to try again."""
        changed: list[int] = []
        again: dict[int, StepError] = {}
        for number in pending:
            info = self.objects[number]
            refused = result.error_of(info.key, info.version)
            if refused is None:
                if result.has(info.key, info.version):
                    self._outcomes[number] = self._done(info)
                else:
                    again[number] = ServiceFailed(
                        f"{self._uri(info)}: S3 did not say whether it was deleted",
                        type="InternalError",
                    )
                continue
            code = refused.get("Code", "")
            error = self.describe_error(
                self._uri(info), info.version, code, refused.get("Message", "")
            )
            if conditional and not info.version and code in _CONDITION_FAILED | _CONDITION_REFUSED:
                changed.append(number)
            elif isinstance(error, NotFound) and error.type == "NoSuchKey":
                self._outcomes[number] = self._done(info)
            elif is_retryable(error) and code not in _CONDITION_FAILED:
                again[number] = error
            else:
                self._outcomes[number] = self._failed(number, error)
        return changed, again

    def _delete_unconditionally(self, pending: Sequence[int]) -> Commands[None]:
        """After a refused condition: what is still unchanged shows that the server does not take conditions, and goes without one."""
        self._looks = self._looks or bool(pending)
        for start in range(0, len(pending), CHECKED_BATCH):
            left = yield from self._unchanged_of(pending[start : start + CHECKED_BATCH])
            if left:
                self.conditions.refuse(self.bucket)
                yield from self._delete_together(left, conditional=False)

    def _request(self, pending: Sequence[int], *, conditional: bool) -> DeleteObjects:
        objects = [self.objects[number] for number in pending]
        body = xml.render_delete(
            (info.key, info.version, info.etag if conditional and not info.version else "")
            for info in objects
        )
        folder = S3Uri(self.bucket, find_common_folder(info.key for info in objects))
        return DeleteObjects(
            folder, body, next((info.version for info in objects if info.version), "")
        )

    # one request for one

    def _delete_alone(self, number: int, *, conditional: bool) -> Commands[None]:
        info = self.objects[number]
        if _HALF.search(info.key):
            text = f"{str(self._uri(info))!a}: the key is not Unicode, so no request can name it"
            self._outcomes[number] = self._failed(number, StepError(text, type="UnsafeKey"))
            return
        conditional = conditional and not info.version
        try:
            yield DeleteObject(self._uri(info), info.version, info.etag if conditional else "")
            self._outcomes[number] = self._done(info)
        except StepError as error:
            if isinstance(error, NotFound) and error.type == "NoSuchKey":
                self._outcomes[number] = self._done(info)
            elif conditional and error.type in _CONDITION_REFUSED | _CONDITION_FAILED:
                if (yield from self._unchanged_of([number])):
                    self.conditions.refuse(self.bucket)
                    yield from self._delete_alone(number, conditional=False)
            else:
                self._outcomes[number] = self._failed(number, error)

    # looks

    def _unchanged_of(self, pending: Sequence[int]) -> Commands[list[int]]:
        """Looks at each object; those that may be deleted. What is gone is done, what changed is a failure."""
        left = []
        for number in pending:
            info = self.objects[number]
            uri = self._uri(info)
            try:
                if info.version:
                    left.append(number)
                    continue
                now: ObjectInfo = yield HeadObject(uri)
            except NotFound as error:
                self._outcomes[number] = (
                    self._done(info) if error.type == "NoSuchKey" else self._failed(number, error)
                )
            except StepError as error:
                text = f"{uri} is kept: whether it changed cannot be seen: {error.message}"
                self._outcomes[number] = self._failed(
                    number, StepError(text, hint=error.hint, type=error.type)
                )
            else:
                if now.etag == info.etag:
                    left.append(number)
                else:
                    self._outcomes[number] = self._failed(
                        number, StepError(f"{uri} is kept: it changed meanwhile", type=CHANGED)
                    )
        return left

    # values

    def _uri(self, info: ObjectInfo) -> S3Uri:
        return S3Uri(self.bucket, info.key)

    def _done(self, info: ObjectInfo) -> Outcome:
        return Outcome(self._uri(info), info.size, etag=info.etag, version=info.version)

    def _failed(self, number: int, error: StepError) -> Outcome:
        info = self.objects[number]
        return Outcome(self._uri(info), version=info.version, status="failed", error=error)

    def _fail_all(self, pending: Sequence[int], error: StepError) -> None:
        self._outcomes.update({number: self._failed(number, error) for number in pending})


def run_commands(commands: Commands[T], execute: Callable[[Command], Any]) -> T:
    """Drives commands in the caller's thread."""
    value: Any = None
    failed = False
    try:
        while True:
            command = commands.throw(value) if failed else commands.send(value)
            try:
                value, failed = execute(command), False
            except StepError as error:
                value, failed = error, True
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
