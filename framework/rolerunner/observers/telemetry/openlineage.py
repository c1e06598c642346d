"""Sends the lineage of a run as OpenLineage events. The only importer of openlineage."""

from __future__ import annotations

import logging
import os
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from openlineage.client.client import OpenLineageClient
from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.generated.base import RunFacet
from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
from openlineage.client.generated.parent_run import Job as ParentJob
from openlineage.client.generated.parent_run import ParentRunFacet
from openlineage.client.generated.parent_run import Run as ParentRun

from rolerunner._version import __version__
from rolerunner.events import RunFinished, RunStarted, StepFinished, StepStarted
from rolerunner.model import StepDatasets
from rolerunner.observers.telemetry.background import BackgroundSender
from rolerunner.observers.telemetry.datasets import find_datasets, join_datasets
from rolerunner.observers.telemetry.totals import MESSAGE_LENGTH, name_without_item
from rolerunner.redaction.brief import redact_briefly
from rolerunner.redaction.redact import redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.events import Event
    from rolerunner.model import Failure, OpenLineageSettings, RunResult, Step, StepResult

DEFAULT_NAMESPACE = "default"
"""OpenLineage's own name for jobs without a namespace."""
_PRODUCER = f"https://github.com/rolerunner/rolerunner/tree/v{__version__}"
_RUNS = uuid.UUID("5b0ff5ea-2e0c-5cb5-a6a4-1d8ee6cb3f2d")
"""Namespace of the UUIDs that stand for run ids, which OpenLineage requires to be UUIDs."""
_TIMEOUT_SECONDS = 4.0
_RETRY = {"total": 1, "connect": 1, "read": 1}
_LOG = logging.getLogger("rolerunner")


class OpenLineageEvents:
    """Sends an event when the run or a step starts, and when it ends."""

    def __init__(self, settings: OpenLineageSettings) -> None:
        self._settings = settings
        self._namespace = (
            settings.namespace or os.environ.get("OPENLINEAGE_NAMESPACE") or DEFAULT_NAMESPACE
        )
        self._sender = BackgroundSender("lineage events")
        self._client: Optional[OpenLineageClient] = None
        self._job = self._run_id = ""
        self._datasets: Mapping[str, StepDatasets] = {}
        self._started: dict[str, Mapping[str, RunFacet]] = {}

    def notify(self, event: Event) -> None:
        """Handles an event."""
        if isinstance(event, RunStarted):
            self._job, self._run_id = event.plan.job.full_name, event.run_id
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
            self._datasets = find_datasets(event.plan, region)
            self._emit_run(RunState.START, {})
        elif isinstance(event, StepStarted) and not event.step.steps:
            self._started[event.step.id] = self._describe_session(event.step, event.session_arn)
            self._emit_step(event.step.id, RunState.START, {})
        elif isinstance(event, StepFinished) and event.result.id in self._started:
            self._finish_step(event.result)
        elif isinstance(event, RunFinished):
            self._finish_run(event.result)

    def _finish_step(self, result: StepResult) -> None:
        state = RunState.FAIL if result.status == "failed" else RunState.COMPLETE
        facets = _describe_error(result.error) if result.status == "failed" else {}
        self._emit_step(result.id, state, facets)
        del self._started[result.id]

    def _finish_run(self, result: RunResult) -> None:
        failed = result.error or next((each.error for each in result.steps if each.error), None)
        if result.status in ("succeeded", "warning"):
            self._emit_run(RunState.COMPLETE, {})
        else:
            state = RunState.ABORT if result.status == "stopped" else RunState.FAIL
            self._emit_run(state, _describe_error(failed))
        self._sender.close()

    def _emit_run(self, state: RunState, facets: Mapping[str, RunFacet]) -> None:
        run = Run(self._make_uuid(""), dict(facets))
        datasets = join_datasets(self._datasets.values())
        self._emit(state, run, self._job, datasets)

    def _emit_step(self, step_id: str, state: RunState, facets: Mapping[str, RunFacet]) -> None:
        parent = ParentRunFacet(
            run=ParentRun(self._make_uuid("")),
            job=ParentJob(self._namespace, self._job),
            producer=_PRODUCER,
        )
        name = name_without_item(step_id)
        datasets = self._datasets.get(name, StepDatasets())
        started = {**self._started[step_id], **_describe_jobs(datasets)}
        run = Run(self._make_uuid(step_id), {"parent": parent, **started, **facets})
        self._emit(state, run, f"{self._job}.{name}", datasets)

    def _emit(self, state: RunState, run: Run, job: str, datasets: StepDatasets) -> None:
        event = RunEvent(
            eventType=state,
            eventTime=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            run=run,
            job=Job(self._namespace, job),
            producer=_PRODUCER,
            inputs=[
                InputDataset(each.namespace, redact_text(each.name)) for each in datasets.inputs
            ],
            outputs=[
                OutputDataset(each.namespace, redact_text(each.name)) for each in datasets.outputs
            ],
        )
        self._sender.submit(lambda: self._send(event))

    def _send(self, event: RunEvent) -> None:
        """Sends an event; the first call finds the server. Runs in the sender's thread."""
        if self._client is None:
            self._client = _create_client(self._settings.url)
        self._client.emit(event)

    def _make_uuid(self, step_id: str) -> str:
        return str(uuid.uuid5(_RUNS, f"{self._job}/{self._run_id}/{step_id}"))

    def _describe_session(self, step: Step, session_arn: str) -> dict[str, RunFacet]:
        roles = [
            {"field": field, "role": str(role), "arn": role.arn}
            for field, role in step.roles.items()
        ]
        facet = RunFacet(producer=_PRODUCER).with_additional_properties(
            role=step.role_name,
            sessionArn=session_arn,
            roles=roles,
            runId=self._run_id,
            stepId=step.id,
        )
        return {"rolerunner_session": facet}  # type: ignore[dict-item]  # typed as its base


def _describe_jobs(datasets: StepDatasets) -> dict[str, RunFacet]:
    """Returns OpenLineage's facet for the jobs that a step starts."""
    if not datasets.jobs:
        return {}
    try:
        from openlineage.client.generated import job_dependencies_run as facet  # noqa: PLC0415 - its older releases have none
    except ImportError:
        return {}
    started = [
        facet.JobDependency(
            job=facet.JobIdentifier(each.namespace, redact_text(each.name)),
            dependency_type="DIRECT_INVOCATION",
        )
        for each in datasets.jobs
    ]
    return {
        "jobDependencies": facet.JobDependenciesRunFacet(downstream=started, producer=_PRODUCER)
    }


def _describe_error(failure: Optional[Failure]) -> dict[str, RunFacet]:
    if failure is None:
        return {}
    text = redact_briefly(f"{failure.type}: {failure.message}", MESSAGE_LENGTH)
    return {"errorMessage": ErrorMessageRunFacet(text, "PYTHON", producer=_PRODUCER)}


def _create_client(url: str) -> OpenLineageClient:
    """Returns a client of the server that the spec names, else of the one that is configured."""
    if not url:
        client = OpenLineageClient()
        if client.transport.kind == "console" and not _is_configured():
            _LOG.warning(
                "lineage is not sent: set OPENLINEAGE_URL, or 'url' of 'openlineage' in the spec"
            )
        return client
    transport: dict[str, Any] = {
        "type": "http",
        "url": url,
        "endpoint": os.environ.get("OPENLINEAGE_ENDPOINT", "api/v1/lineage"),
        "timeout": _TIMEOUT_SECONDS,
        "retry": _RETRY,
    }
    key = os.environ.get("OPENLINEAGE_API_KEY")
    if key:
        transport["auth"] = {"type": "api_key", "apiKey": key}
    return OpenLineageClient(config={"transport": transport})


def _is_configured() -> bool:
    return any(
        name.startswith(("OPENLINEAGE__TRANSPORT", "OPENLINEAGE_CONFIG")) for name in os.environ
    )
