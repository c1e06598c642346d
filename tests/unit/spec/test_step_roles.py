"""The roles of steps, and the permissions that steps declare for them."""

from __future__ import annotations

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.model import DeclaredPermission, Step
from rolerunner.spec.loader import load_spec

ARN = "arn:aws:iam::111122223333:role/"


def text(step: str, defaults: str = "") -> str:
    return (
        f"version: 1\nname: t\nroles: {{reader: '{ARN}reader', writer: '{ARN}writer'}}\n"
        f"{defaults}steps:\n  - {{id: a, {step}}}\n"
    )


def load(step: str, defaults: str = "") -> Step:
    return load_spec(text(step, defaults), "t", registry(), {}).steps[0]


def problems(step: str, defaults: str = "") -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(step, defaults)
    return [
        each.message + (f" ({each.hint})" if each.hint else "") for each in caught.value.problems
    ]


LIST = "action: s3.list, source: s3://bucket/x/"
COPY = "action: s3.copy, source: s3://bucket/x/, target: s3://other/"
DEFAULT = "defaults: {role: writer}\n"


@pytest.mark.parametrize(
    ("step", "defaults", "roles"),
    [
        (f"{LIST}, role: reader", "", {"role": "reader"}),
        (f"{LIST}, role: job", "", {"role": ""}),
        (f"{LIST}, role: '{ARN}other'", "", {"role": "other"}),
        (LIST, DEFAULT, {"role": "writer"}),
        (f"{LIST}, role: reader", DEFAULT, {"role": "reader"}),
        (f"{COPY}, role: reader", "", {"target_role": "reader", "source_role": "reader"}),
        (
            f"{COPY}, role: writer, source_role: reader",
            "",
            {"target_role": "writer", "source_role": "reader"},
        ),
        (
            f"{COPY}, source_role: reader",
            DEFAULT,
            {"target_role": "writer", "source_role": "reader"},
        ),
    ],
)
def test_a_role_is_the_steps_own_or_the_default(
    step: str, defaults: str, roles: dict[str, str]
) -> None:
    found = load(step, defaults).roles
    assert {field: role.arn.removeprefix(ARN) for field, role in found.items()} == roles


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (
            LIST,
            (
                "the step 'a' has no role (add 'role: ALIAS', an ARN, or 'role: job' for the job's"
                " own role)"
            ),
        ),
        (f"{LIST}, role: raeder", "there is no role 'raeder' (did you mean 'reader'?)"),
        (f"{LIST}, role: [reader]", "'role' must be an alias, an ARN, or job, not a list"),
    ],
)
def test_mistakes_of_roles(step: str, found: str) -> None:
    assert problems(step)[-1] == found


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (f"{LIST}, role: [reader]", "'role' must be an alias, an ARN, or job, not a list"),
        (f"{LIST}, role: {{a: b}}", "'role' must be an alias, an ARN, or job, not a mapping"),
        (f"{COPY}, role: 5", "'role' must be an alias, an ARN, or job, not 5"),
        (
            f"{COPY}, role: reader, source_role: [reader]",
            "'source_role' must be an alias, an ARN, or job, not a list",
        ),
    ],
)
def test_a_role_that_is_not_text_is_reported_once(step: str, found: str) -> None:
    assert problems(step) == [found]


def declare(permission: str) -> str:
    return f"{LIST}, role: reader, permissions: {permission}"


def test_declared_permissions_are_values() -> None:
    step = load(
        declare(
            "[{actions: kms:Decrypt, resources: ['*'], role: role, "
            "conditions: {StringEquals: {a: [b, c]}}}]"
        )
    )
    assert step.permissions == (
        DeclaredPermission(
            ("kms:Decrypt",), ("*",), (("StringEquals", "a", ("b", "c")),), role_field="role"
        ),
    )
    assert load(f"{LIST}, role: reader").permissions == ()


@pytest.mark.parametrize(
    ("permission", "found"),
    [
        (
            "'${{ run.id }}'",
            "'permissions' must be a list; its items may contain expressions",
        ),
        (
            "[{actions: '${{ run.id }}', resources: '*'}]",
            "'actions' cannot contain an expression; only 'resources' can",
        ),
        (
            "[{actions: a:b, resources: '*', role: source_role}]",
            "'source_role' is not a role of this action (s3.list has role)",
        ),
        (
            "[{actions: a:b, resources: '*', role: roel}]",
            "'roel' is not a role of this action (did you mean 'role'?)",
        ),
    ],
)
def test_mistakes_of_permissions(permission: str, found: str) -> None:
    assert found in problems(declare(permission))
