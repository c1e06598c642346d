"""rolerunner: YAML job specs whose steps each run under their own IAM role."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rolerunner._version import __version__

if TYPE_CHECKING:
    from rolerunner.api import (
        Failure,
        ItemResult,
        Job,
        Mark,
        Permission,
        Plan,
        PlannedStep,
        Problem,
        Role,
        RolerunnerError,
        RolesRefused,
        RoleUse,
        RunLocation,
        RunResult,
        SandboxError,
        SecretsFailed,
        SpecError,
        StateHeld,
        Step,
        StepError,
        StepResult,
        UsageError,
        load,
        plan,
        preview_objects,
        run,
        survey,
    )

__all__ = [
    "Failure",
    "ItemResult",
    "Job",
    "Mark",
    "Permission",
    "Plan",
    "PlannedStep",
    "Problem",
    "Role",
    "RoleUse",
    "RolerunnerError",
    "RolesRefused",
    "RunLocation",
    "RunResult",
    "SandboxError",
    "SecretsFailed",
    "SpecError",
    "StateHeld",
    "Step",
    "StepError",
    "StepResult",
    "UsageError",
    "__version__",
    "load",
    "plan",
    "preview_objects",
    "run",
    "survey",
]


def __getattr__(name: str) -> Any:
    """Imports the API when it is first used: ``rolerunner --help`` starts 100 ms faster without."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from rolerunner import api  # noqa: PLC0415 - see above

    return getattr(api, name)


class _Package(ModuleType):
    """Keeps ``run`` and ``plan`` the functions.

    Importing the subpackages of these names would replace them: the import system sets a
    subpackage as an attribute of its parent.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
