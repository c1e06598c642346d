"""Formats refused roles as a table, followed by the remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.redaction.redact import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.errors import RoleRefused, RolesRefused, StepError


def format_refusals(refused: RolesRefused) -> str:
    """Returns a table of refused roles, then each message with its hint.

    Roles that are reached through a refused role are not explained again.
    """
    rows = [("role", "asked by", "error"), *(_make_row(each) for each in refused.refusals)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = [
        "  ".join([row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2]]).rstrip()
        for row in rows
    ]
    explained = [refusal for refusal in refused.refusals if not refusal.through]
    messages = [f"\n{format_failures(explained)}"] if explained else []
    return str(redact("\n".join([*table, *messages])))


def format_failures(failures: Sequence[StepError]) -> str:
    """Returns each message with its hint indented below it."""
    texts = (
        "\n".join([failure.message, *(f"  {line}" for line in failure.hint.splitlines())])
        for failure in failures
    )
    return str(redact("\n\n".join(texts)))


def _make_row(refusal: RoleRefused) -> tuple[str, str, str]:
    return (
        refusal.role,
        refusal.asked_by or "-",
        f"reached through '{refusal.through}'" if refusal.through else refusal.type,
    )
