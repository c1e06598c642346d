"""The values that all modules share: frozen, without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.model.identifiers import RoleArn, S3Uri
from rolerunner.model.job import Job, SecretService, SecretSource, TextRules
from rolerunner.model.roles import (
    AUTO,
    JOB,
    PER_STEP,
    Condition,
    DeclaredPermission,
    Permission,
    Role,
)
from rolerunner.model.settings import (
    EmfSettings,
    GlueAfter,
    GlueSettings,
    Notification,
    NotifyEvent,
    NotifyKind,
    OpenLineageSettings,
    OtlpSettings,
    StateLocation,
    Telemetry,
)
from rolerunner.model.steps import GROUP, NOWHERE, Dataset, Retry, RoleChoice, Step, StepDatasets

if TYPE_CHECKING:
    from rolerunner.model.plan import Plan, PlannedNotification, PlannedSecret, PlannedStep, Use
    from rolerunner.model.results import (
        Failure,
        ItemResult,
        RoleUse,
        RunLocation,
        RunResult,
        RunStatus,
        StepResult,
        StepStatus,
    )

__all__ = [
    "AUTO",
    "GROUP",
    "JOB",
    "NOWHERE",
    "PER_STEP",
    "Condition",
    "Dataset",
    "DeclaredPermission",
    "EmfSettings",
    "Failure",
    "GlueAfter",
    "GlueSettings",
    "ItemResult",
    "Job",
    "Notification",
    "NotifyEvent",
    "NotifyKind",
    "OpenLineageSettings",
    "OtlpSettings",
    "Permission",
    "Plan",
    "PlannedNotification",
    "PlannedSecret",
    "PlannedStep",
    "Retry",
    "Role",
    "RoleArn",
    "RoleChoice",
    "RoleUse",
    "RunLocation",
    "RunResult",
    "RunStatus",
    "S3Uri",
    "SecretService",
    "SecretSource",
    "StateLocation",
    "Step",
    "StepDatasets",
    "StepResult",
    "StepStatus",
    "Telemetry",
    "TextRules",
    "Use",
]


if not TYPE_CHECKING:  # for a type checker any name would exist

    def __getattr__(name: str) -> Any:
        """Imports plans and results when they are first used: checking a spec needs neither."""
        if name not in __all__:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        from rolerunner.model import plan, results  # noqa: PLC0415 - see above

        globals()[name] = value = getattr(plan if hasattr(plan, name) else results, name)
        return value
