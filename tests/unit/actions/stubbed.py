"""A context whose clients are botocore's, with stubbed answers that fit the service's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.stub import Stubber

from rolerunner.model import JOB
from rolerunner.run.work_notes import StartedWork, WorkNotes
from tests.unit.actions.context import Recorded, make_context

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.actions.base import StepContext


class StubbedService:
    """One client for all requests of a step, and what finds its work again."""

    def __init__(self, service: str) -> None:
        once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
        self._client = boto3.client(
            service, region_name="eu-west-1", aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret-of-the-test", config=once,
        )  # fmt: skip
        self.stub = Stubber(self._client)
        self.recorded = Recorded()
        self.work = WorkNotes()
        self.step: Any = type("Step", (), {"id": "it", "needs": ()})

    def client(self, *_: Any, **__: Any) -> Any:
        return self._client

    def session_arn(self, _: object) -> str:
        return "arn:aws:sts::111122223333:assumed-role/r/s"

    def create_context(self, folder: Path, **more: Any) -> StepContext:
        roles = {"role": JOB, "source_role": JOB, "catalog_role": JOB}
        work = StartedWork("it", self.step, "r", lambda: {"query": "1"}, self.work)
        values = {"sessions": self, "roles": roles, "started_work": work, **more}
        return make_context(folder, self.recorded, **values)
