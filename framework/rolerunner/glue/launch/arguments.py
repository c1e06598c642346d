"""Scans the arguments that a Glue job is started with.

Glue passes a mapping of names to values as ``--name value`` and drops the token of an empty value,
so ``--a --b x`` means that a is empty. A value that begins with ``--`` would look like the next
argument, so such lists are refused, and so are repeated names, whose values are ambiguous.
awsglue's ``getResolvedOptions`` takes the last of two equal names, matches prefixes, requires every
option, and fails on an empty value; docs/glue.md lists all differences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolerunner.spec.glue_arguments import (
    ENTRY_ARGUMENTS,
    LIBRARY_SET,
    NO_DASHES,
    is_glue_argument,
)
from rolerunner.spec.names import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "ENTRY_ARGUMENTS",
    "Arguments",
    "join_environment",
    "parse_arguments",
    "split_environment",
]
_FOR_PIP = "python-modules-installer-option"
_ARGUMENT = re.compile(r"--([A-Za-z][A-Za-z0-9_.-]*)(?:(=)(.*))?\Z", re.DOTALL)
"""An argument's name; anything else is a value, such as ``--``, ``-3`` or text with spaces."""
_SWITCHES = ("enable-", "disable-")
"""Arguments of Glue's own that have an empty value or ``true``."""
_LIBRARY_SETS = ("analytics", "none")
"""Values of the argument ``library-set``."""


@dataclass(frozen=True)
class Arguments:
    """The entry script's own arguments, the params, and Glue's own arguments, as text.

    Params with a hyphen that the spec does not declare are arguments of Glue, too, which gets new
    ones over time. ``problems`` are reasons to refuse the list; their arguments are in ``glue``
    or in none of the mappings.
    """

    ours: Mapping[str, str]
    params: Mapping[str, str]
    glue: Mapping[str, str]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Pair:
    name: str
    value: str
    next_name: str = ""
    """The name in the next token, where that can be this argument's value just as well."""


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Sort the arguments after the script's name into the script's own, params and Glue's own."""
    pairs = list(_parse_pairs(argv))
    glue: dict[str, str] = {}
    rest: dict[str, list[_Pair]] = {}
    for pair in pairs:
        if is_glue_argument(pair.name) and _canonical_name(pair.name) not in ENTRY_ARGUMENTS:
            glue[pair.name] = glue.get(pair.name) or pair.value
        else:
            rest.setdefault(_canonical_name(pair.name), []).append(pair)
    doubtful = {
        _canonical_name(name)
        for pair in pairs
        if pair.next_name
        for name in (pair.name, pair.next_name)
    }
    given = {
        each[0].name: each[0].value
        for name, each in rest.items()
        if len(each) == 1 and name not in doubtful
    }
    return Arguments(
        {name: value for name, value in given.items() if name in ENTRY_ARGUMENTS},
        {name: value for name, value in given.items() if name not in ENTRY_ARGUMENTS},
        glue,
        (*_find_ambiguities(pairs), *_contradictions(pairs), *_wrong_names(rest)),
    )


def join_environment(spec: str, environment: str) -> str:
    """Returns the value of ``--job_spec`` for an environment of a spec.

    It is no argument of its own, since a run could bring one where the job has none.
    """
    return f"{spec}#{environment}" if environment else spec


def split_environment(job_spec: str) -> tuple[str, str]:
    """Returns the spec and the environment of a ``--job_spec``; the latter may be empty."""
    spec, _, environment = job_spec.rpartition("#")
    return (spec, environment) if spec and NAME.match(environment) else (job_spec, "")


def _canonical_name(name: str) -> str:
    return name.replace("-", "_")


def _find_ambiguities(pairs: Iterable[_Pair]) -> Iterator[str]:
    for pair in pairs:
        if pair.next_name:
            yield (
                f"the value of --{pair.name} is empty or begins with --{pair.next_name}, "
                f"which cannot be told apart: a value {NO_DASHES}"
            )


def _contradictions(pairs: Iterable[_Pair]) -> Iterator[str]:
    """Yields Glue's own arguments with two values; Glue may repeat one, but not change it."""
    values: dict[str, set[str]] = {}
    for pair in pairs:
        if pair.value and is_glue_argument(pair.name):
            values.setdefault(pair.name, set()).add(pair.value)
    for name, different in values.items():
        if len(different) > 1 and _canonical_name(name) not in ENTRY_ARGUMENTS:
            yield f"the argument --{name} is given more than once: set it once"


def _wrong_names(given: Mapping[str, Sequence[_Pair]]) -> Iterator[str]:
    for canonical, pairs in given.items():
        spellings = list(dict.fromkeys(f"--{pair.name}" for pair in pairs))
        if len(pairs) > 1:
            yield (f"the argument {' and '.join(spellings)} is given more than once: set it once")
        elif canonical in ENTRY_ARGUMENTS and pairs[0].name not in ENTRY_ARGUMENTS:
            yield f"there is no argument {spellings[0]}: write --{canonical}"


def _parse_pairs(argv: Sequence[str]) -> Iterator[_Pair]:
    tokens = list(argv)
    position = 0
    while position < len(tokens):
        token, after = tokens[position], tokens[position + 1 :]
        position += 1
        found = _ARGUMENT.match(token)
        if _is_library_set(tokens[position - 1 :]):
            yield _Pair(LIBRARY_SET, after[0])
            position += 1
        elif not found:
            continue  # another name without dashes, or its value
        elif found.group(2):
            yield _Pair(found.group(1), found.group(3))
        elif _takes_next(found.group(1), after):
            yield _Pair(found.group(1), after[0])
            position += 1
        else:
            doubtful = _ambiguous_name(found.group(1), after)
            yield _Pair(found.group(1), "", doubtful)
            position += 1 if doubtful else 0


def _is_library_set(tokens: Sequence[str]) -> bool:
    """Returns True for the one argument that Glue names without dashes, followed by its value."""
    return len(tokens) > 1 and tokens[0] == LIBRARY_SET and tokens[1] in _LIBRARY_SETS


def _takes_next(name: str, after: Sequence[str]) -> bool:
    """Returns True if the next token is the value of this argument."""
    if not after or _is_library_set(after):
        return False
    found = _ARGUMENT.match(after[0])
    return not found or (name == _FOR_PIP and _is_for_pip(found, after))


def _is_for_pip(found: re.Match[str], after: Sequence[str]) -> bool:
    """Returns True for a pip option, such as --no-index, that is the value of a Glue argument."""
    return bool(found.group(2)) or not _has_value(after)


def _has_value(tokens: Sequence[str]) -> bool:
    """Returns True if the first token is followed by one that can only be its value."""
    return len(tokens) > 1 and not _ARGUMENT.match(tokens[1]) and not _is_library_set(tokens[1:])


def _ambiguous_name(name: str, after: Sequence[str]) -> str:
    """Returns the next token's name if it may be an argument or a value, else ""."""
    found = _ARGUMENT.match(after[0]) if after else None
    if not found:
        return ""
    next_name = str(found.group(1))
    if not found.group(2) and (_has_value(after) or _may_both_be_empty(name, next_name)):
        return ""
    return next_name


def _may_both_be_empty(name: str, next_name: str) -> bool:
    """Returns True if nothing of the spec's depends on which of the two tokens is a value."""
    return (
        name.startswith(_SWITCHES)
        or next_name.startswith(_SWITCHES)
        or (is_glue_argument(name) and is_glue_argument(next_name))
    )
