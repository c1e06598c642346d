"""Reads the ``glue`` section of a spec and checks it against its params and steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.spec.expressions import is_template
from rolerunner.spec.glue_arguments import (
    ENTRY_ARGUMENTS,
    NO_DASHES,
    format_argument,
    is_glue_argument,
)
from rolerunner.spec.glue_fields import LAKE_FORMATION, GlueFields
from rolerunner.spec.glue_start import check_after, check_unattended_params
from rolerunner.spec.param_values import parse_param
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolerunner.spec.document import Path
    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.schema import ParamFields


def read_glue(
    glue_params: Any,
    declared: Mapping[str, ParamFields],
    steps: Sequence[Any],
    reader: SpecReader,
) -> Optional[GlueFields]:
    """Returns the section, checked against the spec's params and the items of its ``steps``.

    Returns None if it is missing or wrong.
    """
    if glue_params is None:
        return None
    if not isinstance(glue_params, dict):
        reader.add(
            ("glue",),
            "'glue' must be a mapping, as in "
            "glue: {runtime: pythonshell, role: ..., artifacts: s3://...}",
        )
        return None
    wrong = list(_find_expressions(glue_params, ("glue",)))
    for path in wrong:
        reader.add(
            path,
            "'glue' cannot contain expressions: "
            "it is used when the job is deployed, not when it runs",
        )
    for name in declared:
        if name in ENTRY_ARGUMENTS or is_glue_argument(name):
            whose = "the entry script" if name in ENTRY_ARGUMENTS else "Glue"
            reader.add(
                ("params", name),
                f"the param '{name}' cannot be set in Glue: --{name} is reserved by {whose}",
                "rename it",
                key=True,
            )
    reported = {path[1] for path in wrong}
    read = reader.validate_model(
        GlueFields,
        {key: value for key, value in glue_params.items() if key not in reported},
        ("glue",),
    )
    if read is not None:
        _check_params(read, declared, reader)
        _check_arguments(read, declared, reader)
        _check_distribution(read, steps, reader)
        if read.after is not None:
            check_after(read.after, read.job_name, reader)
        if read.schedule or read.after:
            start = "schedule" if read.schedule else "after"
            given = {**read.params, **read.fixed_params}
            check_unattended_params(start, given, declared, reader)
    return read


def _check_params(
    read: GlueFields, declared: Mapping[str, ParamFields], reader: SpecReader
) -> None:
    for section in ("params", "fixed_params"):
        for name, value in getattr(read, section).items():
            path = ("glue", section, name)
            if name not in declared:
                reader.add(
                    path, f"there is no param '{name}'", suggest_name(name, declared), key=True
                )
                continue
            if declared[name].secret:
                problem = reader.document.problem(
                    path,
                    f"the param '{name}' is secret and cannot be an argument of a Glue job",
                    key=True,
                )
                reader.add_problem(replace(problem, line=""))
                continue
            try:
                parse_param(declared[name], format_argument(value))
            except ValueError as error:
                reader.add(path, f"the param '{name}' {error}")
            if format_argument(value).startswith("--"):
                reader.add(path, f"the param '{name}' {NO_DASHES}")


def _check_arguments(
    read: GlueFields, declared: Mapping[str, ParamFields], reader: SpecReader
) -> None:
    """Reports arguments that are params, which Glue's own would hide."""
    for name in read.arguments:
        canonical = name.lstrip("-").replace("-", "_")
        param = next((each for each in declared if each.replace("-", "_") == canonical), None)
        if param is not None:
            reader.add(
                ("glue", "arguments", name),
                f"'{name}' is the param '{param}', not an argument of Glue",
                "set it under 'params'",
                key=True,
            )


def _check_distribution(read: GlueFields, steps: Sequence[Any], reader: SpecReader) -> None:
    if not read.has_fine_grained_access:
        return
    for path, step in _iter_steps(steps, ("steps",)):
        if step.get("distribute") in ("spark", "auto"):
            reader.add(
                (*path, "distribute"),
                f"'distribute' does not work with '{LAKE_FORMATION}' under 'glue', "
                "which allows no RDDs",
                "remove one of the two",
            )


def _iter_steps(steps: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the steps of a spec as it is written, also those inside groups."""
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict):
            yield (*path, index), step
            yield from _iter_steps(step.get("steps"), (*path, index, "steps"))


def _find_expressions(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, str) and is_template(value):
        yield path
    for key, each in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from _find_expressions(each, (*path, key))
