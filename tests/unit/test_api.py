"""The public API."""

from __future__ import annotations

import pytest

import rolerunner
from rolerunner import api


def test_the_public_names() -> None:
    assert api.__all__ == [
        "Job",
        "Plan",
        "RolerunnerError",
        "RolesRefused",
        "RunResult",
        "SpecError",
        "StateHeld",
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
