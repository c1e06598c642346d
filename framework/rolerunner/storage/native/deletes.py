"""Deletes batches of objects over the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Union

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.deletion_commands import (
    Command,
    DeleteObject,
    DeleteObjects,
    HeadObject,
    Pause,
)
from rolerunner.storage.deletions import Deletion
from rolerunner.storage.http import xml
from rolerunner.storage.http.tasks import RetryPolicy, Task
from rolerunner.storage.native.client import NativeClient, version_query
from rolerunner.storage.native.fallback import run_or_fall_back
from rolerunner.storage.native.tasks import ObjectTasks
from rolerunner.storage.protocol import Outcome

_Delete = Union[DeleteObject, DeleteObjects]


class DeleteTasks:
    """Builds the tasks that delete objects."""

    def __init__(self, client: NativeClient, tasks: ObjectTasks, fallback: BotoEngine) -> None:
        self._client = client
        self._tasks = tasks
        self._requests = fallback.requests
        self._deletes = fallback.deletes

    def delete(self, deletion: Deletion, policy: RetryPolicy) -> Task[Sequence[Outcome]]:
        """Executes the commands of a deletion; returns the outcomes of its objects."""
        commands = deletion.iterate_commands()
        value: Any = None
        failed = False
        try:
            while True:
                command = commands.throw(value) if failed else commands.send(value)
                try:
                    value, failed = (yield from self._execute_command(command, policy)), False
                except StepError as error:
                    value, failed = error, True
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _execute_command(self, command: Command, policy: RetryPolicy) -> Task[Any]:
        if isinstance(command, Pause):
            throttle = self._requests.pacer.throttle
            if command.throttled:
                throttle.on_refused(throttle.era)
            yield command.seconds
            return None
        if isinstance(command, HeadObject):
            return (yield from self._tasks.find_info(command.uri, None, policy))
        fallback = partial(self._deletes.execute, command, policy.cancel)
        try:
            return (yield from run_or_fall_back(self._send_command(command, policy), fallback))
        except (ClientError, BotoCoreError) as error:
            raise self._requests.to_step_error(error, command.uri, command.version) from error

    def _send_command(self, command: _Delete, policy: RetryPolicy) -> Task[Any]:
        if isinstance(command, DeleteObjects):
            bucket = S3Uri(command.uri.bucket)
            headers = {
                "content-md5": xml.content_md5(command.body),
                "content-type": "application/xml",
            }
            response = yield from self._client.send(
                policy,
                "delete_objects",
                bucket,
                {},
                headers,
                body=command.body,
                may_be_error=True,
            )
            return xml.parse_delete_result(response.body)
        headers = {"if-match": f'"{command.etag}"'} if command.etag else {}
        query = version_query(command.version)
        yield from self._client.send(policy, "delete_object", command.uri, {}, headers, query=query)
        return None
