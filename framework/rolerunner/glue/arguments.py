"""The arguments a Glue job is started with: our own scanner.

awsglue's ``getResolvedOptions`` makes every option required, matches prefixes, fails on an empty value and ends the
process for a missing one. Glue itself loses the token of an empty value, so ``--a --b x`` means a is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolerunner.spec.glue_fields import OURS, is_glue_own

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["OURS", "Arguments", "scan"]
_FOR_PIP = "python-modules-installer-option"


@dataclass(frozen=True)
class Arguments:
    """Ours, the params, and Glue's own, as text."""

    ours: Mapping[str, str]
    params: Mapping[str, str]
    glue: Mapping[str, str]


def scan(argv: Sequence[str]) -> Arguments:
    """Sort the arguments after the script's name into ours, params and Glue's own. The last of two equal names counts."""
    ours: dict[str, str] = {}
    params: dict[str, str] = {}
    glue: dict[str, str] = {}
    for name, value in _pairs(argv):
        (ours if name in OURS else glue if is_glue_own(name) else params)[name] = value
    return Arguments(ours, params, glue)


def _pairs(argv: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if not token.startswith("--") or token == "--":  # noqa: S105 - not a password
            continue
        name, separator, value = token[2:].partition("=")
        if not separator and tokens and (not tokens[0].startswith("--") or _is_pips(name, tokens[0])):
            value = tokens.pop(0)
        pairs.append((name, value))
    return pairs


def _is_pips(name: str, value: str) -> bool:
    """Is it an option for pip, such as --no-index, which stands as the value of an argument of Glue's own?"""
    return name == _FOR_PIP and not is_glue_own(value[2:]) and value[2:] not in OURS
