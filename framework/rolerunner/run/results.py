"""The results of a run while it goes on, and how they make its status."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Failure, StepResult
from rolerunner.redaction.redact import redact_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.errors import RoleRefused, StepError
    from rolerunner.model import RunStatus, Step, StepStatus


@dataclass
class RunRecord:
    """Results so far. Only the thread that runs the job writes them."""

    results: dict[str, StepResult] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Steps that failed, and steps that depend on one that failed."""
    repeated: set[str] = field(default_factory=set)
    """Steps that this run started. Steps that depend on them run again too."""
    refusals: dict[str, RoleRefused] = field(default_factory=dict)
    """Roles refused before the first step. If there are any, only steps for failures run."""
    unfetched: tuple[StepError, ...] = ()
    """Why secret params could not be fetched; as above."""
    failed: bool = False
    error: str = ""
    """The first failure, for ``run.error``."""

    def add_refusals(self, refusals: dict[str, RoleRefused]) -> None:
        """Adds roles that were refused before the first step."""
        self.refusals.update(refusals)
        for refusal in refusals.values():
            self.failed, self.error = True, self.error or redact_text(refusal.message)

    def add_unfetched(self, failures: Sequence[StepError]) -> None:
        """Adds why secret params could not be fetched before the first step."""
        self.unfetched = tuple(failures)
        for failure in failures:
            self.failed, self.error = True, self.error or redact_text(failure.message)

    @property
    def is_prevented(self) -> bool:
        """True if only steps for failures may run."""
        return bool(self.refusals or self.unfetched)

    def add_result(self, step: Step, result: StepResult) -> StepResult:
        """Adds how a step ended. Returns the result without secrets in its texts."""
        result = _redact_result(result)  # before run.error or an observer reads it
        self.results[step.id] = result
        fails = result.status == "failed" and step.on_error == "fail"
        unreached = self.is_prevented and result.status == "not_run"
        if fails or unreached or self.is_behind_failure(step):
            self.broken.add(step.id)
        self.failed = self.failed or fails
        if fails and not self.error and result.error is not None:
            self.error = f"{step.id}: {result.error.message}"
        return result

    def is_behind_failure(self, step: Step) -> bool:
        """Returns True if the step depends on one that failed."""
        return any(need in self.broken for need in step.needs)

    def refusal_for(self, step: Step) -> Optional[Failure]:
        """Returns why a role of the step was refused; None if none was."""
        roles = (str(role) for role in step.all_roles)
        refusal = next((self.refusals[role] for role in roles if role in self.refusals), None)
        return None if refusal is None else describe_failure(refusal)

    def find_status(self, *, cancelled: bool) -> RunStatus:
        """Returns the status of the run."""
        statuses = {result.status for result in self.results.values()}
        if cancelled and statuses & {"failed", "not_run"}:
            return "stopped"
        errors = [result.error for result in self.results.values() if result.error is not None]
        if self.failed or any(error.type == "Deadline" for error in errors):
            return "failed"
        return "warning" if statuses & {"failed", "warning"} else "succeeded"


def unstarted_result(
    step: Step, status: StepStatus, failure: Optional[Failure] = None, *, reason: str = ""
) -> StepResult:
    """Returns the result of a step that did not start."""
    return StepResult(
        step.id,
        step.action,
        step.role_name,
        status,
        error=failure,
        reason=reason,
        roles=step.several_roles,
    )


def describe_failure(error: StepError) -> Failure:
    """Returns an error as a value of the result."""
    return Failure(error.type, error.message, error.hint)


def redact_failure(failure: Failure) -> Failure:
    """Returns the failure without secrets."""
    return Failure(failure.type, redact_text(failure.message), redact_text(failure.hint))


def _redact_result(result: StepResult) -> StepResult:
    error = None if result.error is None else redact_failure(result.error)
    return replace(result, error=error, reason=redact_text(result.reason))
