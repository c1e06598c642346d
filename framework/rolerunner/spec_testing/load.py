"""Loads test files into cases and reports all mistakes together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from pydantic import ValidationError

from rolerunner import api, sandbox
from rolerunner.actions import registry
from rolerunner.errors import SpecError, UsageError
from rolerunner.policies.least_privilege import drop_run_params
from rolerunner.sandbox import World
from rolerunner.sandbox.from_spec import generate_world
from rolerunner.sandbox.world import SandboxRole
from rolerunner.spec.expressions import Template
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.nested_templates import fill_templates, iter_templates
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.source import read_text
from rolerunner.spec.yaml_parser import parse_versioned_document
from rolerunner.spec_testing.case import Case
from rolerunner.spec_testing.casefile import CaseFields, CaseFile
from rolerunner.spec_testing.check import validate_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolerunner.errors import Mark, Problem
    from rolerunner.model import Job
    from rolerunner.spec.document import Path as Place

SUFFIX = ".test.yaml"
_SKIPPED = {"node_modules", "__pycache__", "build", "dist"}
UNREADABLE = 2
"""Exit status of a run with an invalid spec or params."""


def find_test_files(names: Iterable[str]) -> list[Path]:
    """Returns the test files of these files and folders, each once. Raises UsageError."""
    paths: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            paths.update(dict.fromkeys(sorted(_find_test_files(path))))
        elif not path.exists():
            raise UsageError(f"{name}: no such file or folder")
        elif not path.name.endswith(SUFFIX):
            raise UsageError(f"{name}: a test file's name ends with {SUFFIX}")
        else:
            paths[path] = None
    return list(paths)


def _find_test_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob(f"*{SUFFIX}"):
        inside = path.relative_to(folder).parts[:-1]
        if not any(part.startswith(".") or part in _SKIPPED for part in inside):
            yield path


def load_cases(paths: Iterable[Path], root: Path, env: str = "") -> list[Case]:
    """Loads the cases of all files; each runs in its own folder below ``root``.

    ``env`` is the environment of cases that name none.
    Raises SpecError with every mistake, UsageError.
    """
    cases: list[Case] = []
    problems: list[Problem] = []
    for number, path in enumerate(paths):
        try:
            cases += _load_file(path, root / f"{number}", env)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))
    return cases


def _load_file(path: Path, root: Path, env: str) -> list[Case]:
    text, name = read_text(str(path))
    reader = SpecReader(parse_versioned_document(text, name, "a test file"), LoadContext())
    raw = reader.parse_templates(reader.document.data, (), ("case",), content=True)
    plain = _fill_values(raw, root, reader)
    reader.validate_model(CaseFile, plain, ())
    top = _keep_valid_cases(plain, [{"name": "none"}])
    if top is None:
        raise SpecError(reader.known.problems)
    spec = path.parent / (top.spec or f"{path.name[: -len(SUFFIX)]}.yaml")
    right = _is_right(spec, top, reader)
    world = _load_world(top, spec, reader)
    if right and world is not None:
        raw_cases = plain.get("cases")
        count = len(raw_cases) if isinstance(raw_cases, list) else 0
        cases = [
            case
            for index in range(count)
            for case in _build_cases(
                index, raw, _TestedSpec(spec, env), world, root / f"{index}", reader
            )
        ]
        _check_names(cases, reader)
        if not reader.known.problems:
            return cases
    raise SpecError(reader.known.problems)


def _keep_valid_cases(plain: Mapping[str, Any], cases: list[Any]) -> Optional[CaseFile]:
    """Returns the file with only these cases, or None if it has (already reported) mistakes."""
    try:
        return CaseFile.model_validate(
            {
                "version": 1,
                **{key: plain[key] for key in ("spec", "sandbox", "params") if key in plain},
                "cases": cases,
            }
        )
    except ValidationError:
        return None


def _is_right(spec: Path, top: CaseFile, reader: SpecReader) -> bool:
    if not spec.is_file():
        reader.add(
            ("spec",) if top.spec else (),
            f"there is no spec '{spec}'",
            "" if top.spec else "name it with 'spec:'",
        )
        return False
    try:
        api.load(spec, complete=False)
    except SpecError as error:
        reader.known.problems.extend(error.problems)
        return False
    return True


def _build_cases(
    index: int, raw: Any, tested: _TestedSpec, world: _Holds, folder: Path, reader: SpecReader
) -> Iterator[Case]:
    plain, place = (
        _fill_values(raw, folder, reader),
        ("cases", index),
    )  # with this case's folder filled in
    own = _keep_valid_cases(plain, [plain["cases"][index]])
    if own is None:
        return
    fields = own.cases[0]
    spec = _TestedSpec(tested.path, fields.env or tested.env)
    params = {**own.params, **fields.params}
    job = _load_job(spec, params, fields, place, reader)
    case = Case(
        reader.document.mark((*place, "name")),
        fields,
        params,
        spec.path,
        spec.env,
        job,
        world.world or _derive_world(job, params),
        world.folder,
        folder,
    )
    if case.job is not None:
        validate_case(case, place, reader, registry())
    yield case


def _load_job(
    spec: _TestedSpec,
    params: Mapping[str, Any],
    fields: CaseFields,
    place: Place,
    reader: SpecReader,
) -> Optional[Job]:
    try:
        return api.load(spec.path, params, env=spec.env)
    except (UsageError, SpecError) as error:
        if fields.expect.exit != UNREADABLE:
            first = str(error).splitlines()[0]
            if spec.env:
                field = ("env",) if fields.env else ()
                message = f"the spec cannot run in the environment '{spec.env}': {first}"
                reader.add((*place, *field), message, "set 'exit: 2' if that is expected")
                return None
            reader.add(
                (*place, "params"),
                f"the spec does not take these params: {first}",
                "set 'exit: 2' if that is expected",
            )
        return None


@dataclass(frozen=True)
class _TestedSpec:
    path: Path
    env: str


@dataclass(frozen=True)
class _Holds:
    """The world of a sandbox; its files are relative to ``folder``."""

    world: Optional[World]
    """None if it is derived from the spec and the params of each case."""
    folder: Path


def _load_world(file: CaseFile, spec: Path, reader: SpecReader) -> Optional[_Holds]:
    """Loads the sandbox of a test file, or the one beside the spec; None after a mistake."""
    folder = Path(reader.document.file).parent
    if isinstance(file.sandbox, dict):
        world = reader.validate_model(World, file.sandbox, ("sandbox",))
        return None if world is None else _Holds(world, folder)
    path = (
        folder / file.sandbox
        if isinstance(file.sandbox, str)
        else spec.with_name(f"{spec.stem}.sandbox.yaml")
    )
    if not path.is_file():
        if file.sandbox is None:
            return _Holds(None, folder)
        reader.add(("sandbox",), f"there is no sandbox file '{path}'")
        return None
    try:
        return _Holds(sandbox.load_world(path), path.parent)
    except SpecError as error:
        reader.known.problems.extend(error.problems)
        return None


def _derive_world(job: Optional[Job], params: Mapping[str, Any]) -> World:
    """Derives the world from the spec as ``run --sandbox`` does. Raises SandboxError."""
    if job is None:  # invalid params: the run ends before it sends a request
        return World(version=1, job_role=_ANY_ROLE, roles=[SandboxRole(arn=_ANY_ROLE)])
    return generate_world(
        api.plan(job), api.plan(drop_run_params(job, params)), registry(), {}
    ).world


_ANY_ROLE = "arn:aws:iam::123456789012:role/glue-job"


def _fill_values(raw: Any, folder: Path, reader: SpecReader) -> Any:
    """Fills in ``case.folder`` and the clock; reports expressions that fail."""
    scope = {"case": {"folder": str(folder)}, **reader.known.clock}
    wrong = set()
    for at, template in iter_templates(raw):
        try:
            template.evaluate(scope)
        except ExpressionError as error:
            wrong.add(at)
            reader.add_at(reader.mark_offset(at, template.text, 0), str(error), error.hint)
    return fill_templates(_strip_templates(raw, (), wrong), scope)


def _strip_templates(value: Any, place: Place, wrong: set[Place]) -> Any:
    """Returns the value with invalid templates as plain text."""
    if isinstance(value, Template):
        return value.text if place in wrong else value
    if isinstance(value, dict):
        return {key: _strip_templates(each, (*place, key), wrong) for key, each in value.items()}
    if isinstance(value, list):
        return [_strip_templates(each, (*place, index), wrong) for index, each in enumerate(value)]
    return value


def _check_names(cases: list[Case], reader: SpecReader) -> None:
    first: dict[str, Mark] = {}
    for case in cases:
        other = first.setdefault(case.fields.name, case.mark)
        if other != case.mark:
            reader.add_at(
                case.mark,
                f"duplicate case '{case.fields.name}'",
                f"the first is on line {other.line}",
            )
