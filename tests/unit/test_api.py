"""The public API."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from pathlib import Path

import pytest

import rolerunner
import rolerunner.errors
from rolerunner import api, model

ROOT = Path(__file__).parents[2]


def test_the_public_names() -> None:
    assert api.__all__ == [
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
        "load",
        "load_documents",
        "plan",
        "preview_objects",
        "run",
        "survey",
    ]
    assert all(hasattr(api, name) for name in api.__all__)


def test_the_package_offers_the_api() -> None:
    assert set(rolerunner.__all__) == {*api.__all__, "__version__"} - {"load_documents"}


def test_the_manual_documents_each_of_them() -> None:
    page = (ROOT / "docs" / "python-api.md").read_text()
    described = set(re.findall(r"^### (?:rolerunner\.)?(\w+)$", page, re.MULTILINE))
    errors = {name for name in rolerunner.__all__ if is_error(getattr(rolerunner, name))}
    assert described == set(rolerunner.__all__) - errors - {"__version__"}
    assert errors == set(re.findall(r"`(\w+)`", page[page.index("`rolerunner` exports") :])) & {
        name for name in vars(rolerunner.errors) if is_error(getattr(rolerunner.errors, name))
    }


def test_what_the_functions_raise_is_exported() -> None:
    for name in ("load", "plan", "run", "survey", "preview_objects"):
        doc = getattr(rolerunner, name).__doc__ or ""
        raised = set(re.findall(r"\b[A-Z]\w+\b", doc.partition("Raises")[2]))
        assert raised <= set(rolerunner.__all__), name


def test_what_the_values_hold_is_exported() -> None:
    internal = {  # parts of a job or plan that only rolerunner reads
        "DeclaredPermission",
        "GlueSettings",
        "Notification",
        "PlannedNotification",
        "PlannedSecret",
        "Retry",
        "RoleChoice",
        "SecretSource",
        "StateLocation",
        "StepDatasets",
        "Telemetry",
        "Use",
    }
    held = {
        name
        for value in map(partial(getattr, rolerunner), rolerunner.__all__)
        if dataclasses.is_dataclass(value)
        for field in dataclasses.fields(value)
        for name in re.findall(r"\w+", str(field.type))
        if str(getattr(getattr(model, name, None), "__module__", "")).startswith("rolerunner.")
    }
    assert held - internal <= set(rolerunner.__all__)
    assert internal <= held


def is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def test_subpackages_do_not_replace_the_functions_of_their_names() -> None:
    from rolerunner.plan import planning
    from rolerunner.run import runner

    assert (planning.__name__, runner.__name__) == (
        "rolerunner.plan.planning",
        "rolerunner.run.runner",
    )
    assert (rolerunner.load, rolerunner.plan, rolerunner.run) == (api.load, api.plan, api.run)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        rolerunner.missing  # noqa: B018
