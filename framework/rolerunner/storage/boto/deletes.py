"""Deletes objects through boto3, in batches."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.sessions.deferred_client import find_template_client
from rolerunner.storage.boto.reader import ObjectReader
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.concurrency import batch_by_bucket
from rolerunner.storage.deletion_commands import (
    Command,
    DeleteObject,
    DeleteObjects,
    HeadObject,
    Pause,
    run_commands,
)
from rolerunner.storage.deletions import CHECKED_BATCH, DeleteConditions, Deletion
from rolerunner.storage.http import xml
from rolerunner.storage.protocol import ObjectInfo, Outcome
from rolerunner.storage.tuning import KEYS_PER_DELETE

_PLACEHOLDER = {"Objects": [{"Key": "placeholder"}]}
"""Satisfies boto3's validation; the body replaces it."""


@dataclass(frozen=True)
class Deletes:
    """Deletes batches of objects; the native engine runs the same deletions by its own requests."""

    requests: BotoRequests
    reader: ObjectReader
    conditions: DeleteConditions = field(init=False)

    def __post_init__(self) -> None:
        endpoint = find_template_client(self.requests.client).meta.endpoint_url
        object.__setattr__(self, "conditions", DeleteConditions(endpoint))

    def iterate_deletions(
        self, items: Iterable[ObjectInfo], bucket: str, *, unchanged: bool
    ) -> Iterator[Deletion]:
        """Yields a deletion for each batch of objects."""
        are_kept = not unchanged or self.conditions.are_kept(bucket)
        for name, batch in batch_by_bucket(
            items, bucket, KEYS_PER_DELETE if are_kept else CHECKED_BATCH
        ):
            yield Deletion(
                name,
                batch,
                unchanged,
                self.conditions,
                self.requests.max_attempts,
                self._explain_refusal,
            )

    def delete(self, deletion: Deletion, cancel: Cancel) -> Sequence[Outcome]:
        """Deletes one batch; returns the outcomes in the order of its objects."""
        return run_commands(deletion.iterate_commands(), lambda each: self.execute(each, cancel))

    def execute(self, command: Command, cancel: Cancel) -> Any:
        """Executes one command of a deletion; returns its result. Raises StepError."""
        cancel.stop_if_set()
        if isinstance(command, Pause):
            cancel.wait(command.seconds)
        elif isinstance(command, HeadObject):
            return self.reader.head(command.uri)
        elif isinstance(command, DeleteObjects):
            return self._delete_objects(command, cancel)
        else:
            self._delete_object(command, cancel)
        return None

    def _delete_objects(self, command: DeleteObjects, cancel: Cancel) -> xml.DeleteResult:
        client = self.requests.client
        headers = {"Content-MD5": xml.content_md5(command.body)}
        with (
            self.requests.translate_errors(command.uri, version=command.version),
            replace_body(client, headers, command.body),
        ):
            response = self.requests.call(
                "delete_objects",
                cancel,
                Bucket=command.uri.bucket,
                Delete=_PLACEHOLDER,
            )
        deleted = (
            (each.get("Key") or "", each.get("VersionId") or "")
            for each in response.get("Deleted", ())
        )
        return xml.DeleteResult(deleted, response.get("Errors", ()))

    def _delete_object(self, command: DeleteObject, cancel: Cancel) -> None:
        uri = command.uri
        options = {"IfMatch": f'"{command.etag}"'} if command.etag else {}
        if command.version:
            options["VersionId"] = command.version
        with self.requests.translate_errors(uri, version=command.version):
            self.requests.call("delete_object", cancel, Bucket=uri.bucket, Key=uri.key, **options)

    def _explain_refusal(self, uri: S3Uri, version: str, code: str, message: str) -> StepError:
        error = AwsError(code, message, "DeleteObjects")
        return self.requests.explain_error(error, uri, version=version)


_BODY = threading.local()


@contextmanager
def replace_body(client: Any, headers: Mapping[str, str], body: bytes) -> Iterator[None]:
    """Gives this thread's calls of DeleteObjects these headers and this body in the block.

    The ETags of its objects are younger than the boto3 of Glue's runtimes, whose models do not
    know them.
    """
    # botocore registers the same function under the same id once
    client.meta.events.register_last(
        "before-call.s3.DeleteObjects", _set_body, unique_id="rolerunner-DeleteObjects"
    )
    _BODY.now = headers, body
    try:
        yield
    finally:
        _BODY.now = None


def _set_body(params: dict[str, Any], **_: Any) -> None:
    content = getattr(_BODY, "now", None)
    if content is None:
        return
    headers, body = content
    params["headers"].update(headers)
    params["body"] = body
