"""The table of refused roles."""

from __future__ import annotations

from rolerunner.cli.refusals import format_refusals
from rolerunner.errors import RoleRefused, RolesRefused
from rolerunner.redaction.secrets import MASK, register_secret


def test_a_role_has_its_row_and_its_advice() -> None:
    refusal = RoleRefused(
        "reader was refused", role="reader", asked_by="arn:x", type="AccessDenied", hint="one\ntwo"
    )
    assert format_refusals(RolesRefused([refusal])) == (
        "role    asked by  error\n"
        "reader  arn:x     AccessDenied\n"
        "\n"
        "reader was refused\n"
        "  one\n"
        "  two"
    )


def test_a_role_behind_a_refused_one_is_not_explained_again() -> None:
    first = RoleRefused("no", role="hub")
    second = RoleRefused("not told", role="a-longer-name", through="hub", hint="not told")
    assert format_refusals(RolesRefused([first, second])).splitlines() == [
        "role           asked by  error",
        "hub            -         RoleRefused",
        "a-longer-name  -         reached through 'hub'",
        "",
        "no",
    ]


def test_secrets_are_masked() -> None:
    kept = register_secret("rF9-external-id")
    shown = format_refusals(RolesRefused([RoleRefused(f"with {kept}", role="r")]))
    assert shown.endswith(f"with {MASK}")
