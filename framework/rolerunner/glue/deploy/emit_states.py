"""Renders a Step Functions state that runs the deployed job and waits for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolerunner.model import GlueSettings, Job
    from rolerunner.spec.document import Document

_START_ERRORS = (
    "Glue.ConcurrentRunsExceededException",
    "Glue.ResourceNumberLimitExceededException",
    "Glue.InternalServiceException",
    "Glue.OperationTimeoutException",
    "Glue.ThrottlingException",
)
"""Errors of StartJobRun that pass. A run that failed is not repeated: steps have retries."""
_LONGEST_NAME = 80
"""Maximum characters of a state's name (Amazon States Language)."""


def render_state(job: Job, settings: GlueSettings, documents: Iterable[Document]) -> str:
    """Returns a state machine in the Amazon States Language, with a state for the Glue job.

    Params that the spec requires, and that the deployed job does not set, come from the input.
    """
    name = settings.job_name or job.name
    state = name[: _LONGEST_NAME - len(" failed")]
    parameters: dict[str, Any] = {"JobName": name}
    arguments = _list_arguments(job, settings, documents)
    if arguments:
        parameters["Arguments"] = arguments
    environment = f", environment {job.environment}" if job.environment else ""
    machine = {
        "Comment": f"Runs {job.file}{environment}, as deployed to the Glue job {name}",
        "StartAt": state,
        "States": {
            state: {
                "Type": "Task",
                "Resource": "arn:aws:states:::glue:startJobRun.sync",
                "Parameters": parameters,
                "ResultPath": "$.run",
                "Retry": [
                    {
                        "ErrorEquals": list(_START_ERRORS),
                        "IntervalSeconds": 30,
                        "BackoffRate": 2.0,
                        "MaxAttempts": 5,
                    }
                ],
                "Catch": [
                    {
                        "ErrorEquals": ["States.ALL"],
                        "ResultPath": "$.error",
                        "Next": f"{state} failed",
                    }
                ],
                "End": True,
            },
            f"{state} failed": {
                "Type": "Fail",
                "ErrorPath": "$.error.Error",
                "CausePath": "$.error.Cause",
            },
        },
    }
    return json.dumps(machine, indent=2, ensure_ascii=False) + "\n"


def _list_arguments(
    job: Job, settings: GlueSettings, documents: Iterable[Document]
) -> dict[str, str]:
    """Returns the arguments that are taken from the input, as text, which Glue demands."""
    known = {*settings.params, *settings.fixed_params, *job.secret_params}
    return {
        f"--{name}.$": f"States.Format('{{}}', $.{name})"
        for name, fields in _iter_params(documents)
        if fields.get("required") is True and name not in known
    }


def _iter_params(documents: Iterable[Document]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for document in documents:
        for name, fields in (document.data.get("params") or {}).items():
            if isinstance(fields, dict):
                yield str(name), fields
