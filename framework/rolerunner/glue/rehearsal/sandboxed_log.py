"""Writes the output of a run in the sandbox to CloudWatch Logs, as Glue does."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.glue.launch.log_streams import name_log_group, name_log_stream

if TYPE_CHECKING:
    import queue
    from collections.abc import Mapping, Sequence

    from rolerunner.glue.launch.runtime import Runtime
    from rolerunner.glue.rehearsal.sandboxed_run import SandboxedRun

_BATCH = 500
"""Log lines sent by one request."""


class RunLog:
    """The log of a run in CloudWatch Logs, written under the job's role."""

    def __init__(self, logs: Any, run: SandboxedRun, runtime: Runtime) -> None:
        self._logs = logs
        self._runtime = runtime
        self._group = name_log_group(runtime, run.arguments)
        self._stream = name_log_stream(runtime, run.arguments, run.run["Id"])
        self._created: set[str] = set()
        self._is_refused = False

    def send(self, lines: queue.Queue[tuple[str, str]]) -> None:
        """Sends the lines that are there, of output and errors."""
        events: dict[str, list[dict[str, Any]]] = {}
        while not lines.empty():
            name, text = lines.get()
            if self._runtime.has_log_prefixes:
                name = "output"  # Spark jobs from Glue 5.0 on write both there
            event = {"timestamp": int(time.time() * 1000), "message": text or " "}
            events.setdefault(name, []).append(event)
        for name, found in events.items():
            self._put_events(f"{self._group}/{name}", found)

    def _put_events(self, group: str, events: Sequence[Mapping[str, Any]]) -> None:
        if self._is_refused:
            return
        try:
            if group not in self._created:
                self._create(group)
            for start in range(0, len(events), _BATCH):
                self._logs.put_log_events(
                    logGroupName=group,
                    logStreamName=self._stream,
                    logEvents=events[start : start + _BATCH],
                )
        except (BotoCoreError, ClientError) as error:
            self._is_refused = True  # a run goes on without its log, as on AWS
            print(f"log of {group}/{self._stream}: {error}", file=sys.stderr)  # noqa: T201 - the sandbox keeps it

    def _create(self, group: str) -> None:
        already = self._logs.exceptions.ResourceAlreadyExistsException
        with suppress(already):
            self._logs.create_log_group(logGroupName=group)
        with suppress(already):
            self._logs.create_log_stream(logGroupName=group, logStreamName=self._stream)
        self._created.add(group)
