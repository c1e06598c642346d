"""Loads a spec: text to Job, with all mistakes reported together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional

from pydantic import ValidationError

from rolerunner.errors import SpecError, UsageError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Job, Notification, StateLocation, Telemetry
from rolerunner.spec import validation
from rolerunner.spec.expressions import Template
from rolerunner.spec.params import parse_params
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.roles import Roles
from rolerunner.spec.schema import IncludedFile, SpecFile, StateFields
from rolerunner.spec.steps import parse_steps
from rolerunner.spec.yaml_parser import parse_document

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from rolerunner.model import SecretSource, Step
    from rolerunner.spec.action_schema import ActionSchema
    from rolerunner.spec.document import Document
    from rolerunner.spec.environments import Environment
    from rolerunner.spec.glue_fields import GlueFields
    from rolerunner.spec.schema import ParamFields

__all__ = ["load_notify_section", "load_spec"]

MAX_INCLUDES = 20


def load_spec(
    text: str,
    file: str,
    kinds: Mapping[str, type[ActionSchema]],
    given: Mapping[str, Any],
    *,
    complete: bool = True,
    read_include: Optional[Callable[[str], tuple[str, str]]] = None,
    more_names: Iterable[str] = (),
    ignored_names: Collection[str] = (),
    code_is_here: bool = False,
    env: str = "",
) -> Job:
    """Loads and validates a spec. ``given`` are the params of this run, as text or values.

    ``complete=False`` allows required params to be missing, and skips checks that depend on them.
    ``read_include`` returns the text and the name of an included file. ``more_names`` are valid
    names of arguments that are not params, to suggest them for misspelt ones. ``ignored_names``
    are names among ``given`` that need not be params. ``code_is_here`` requires the functions that
    steps call to exist on this machine. ``env`` names an environment of the spec.
    Raises SpecError with every mistake of the spec, UsageError for wrong params.
    """
    own = SpecReader(parse_document(text, file), LoadContext(code_is_here=code_is_here))
    environment = _select_environment(env, own)
    reader = environment.apply_to_spec(own) if environment is not None else own
    top = _parse_top(reader)
    wrong_params: Optional[UsageError] = None
    try:
        parse_params(
            top.params,
            given,
            reader,
            complete=complete,
            more_names=more_names,
            ignored_names=ignored_names,
            find_environments=environment.find_setting if environment is not None else None,
        )
    except UsageError as error:
        wrong_params = error  # mistakes of the spec come first
    roles = Roles()
    roles.read(top.roles, reader)
    for index, name in enumerate(top.include[:MAX_INCLUDES]):
        _read_include(name, index, roles, reader, read_include, environment)
    if environment is not None:
        _check_changed_roles(environment, roles, own)
    roles.link()
    sections = _parse_sections(top, kinds, roles, reader)
    if reader.known.problems:
        raise SpecError(reader.known.problems)
    if wrong_params is not None:
        raise wrong_params
    return _build_job(top, sections, roles, reader, environment)


@dataclass(frozen=True)
class _Sections:
    """The parts of a spec that depend on its params and roles."""

    sources: Mapping[str, SecretSource]
    """The sources of secret params, by param."""
    state: Optional[StateLocation]
    notify: tuple[Notification, ...]
    telemetry: Optional[Telemetry]
    glue: Optional[GlueFields]
    steps: Sequence[Step]

    def list_undecided(self, top: SpecFile) -> Iterator[str]:
        """Yields what depends on params that have no value."""
        if top.state is not None and self.state is None:
            yield "state"
        for name, fields in top.params.items():
            if fields.from_ is not None and name not in self.sources:
                yield f"'from' of {name}"
        if len(self.notify) < len(top.notify or ()):
            yield "notify"
        if self.telemetry is not None and self.telemetry.is_partial:
            yield "telemetry"


def _parse_sections(
    top: SpecFile, kinds: Mapping[str, type[ActionSchema]], roles: Roles, reader: SpecReader
) -> _Sections:
    return _Sections(
        _parse_secret_sources(top.params, roles, reader),
        _parse_state(top.state, roles, reader),
        _parse_notify(top.notify, roles, reader),
        _parse_telemetry(top.telemetry, reader),
        _parse_glue(top, reader),
        parse_steps(top.steps, kinds, roles, top.defaults, reader) if top.steps != [None] else [],
    )


def _build_job(
    top: SpecFile,
    sections: _Sections,
    roles: Roles,
    reader: SpecReader,
    environment: Optional[Environment],
) -> Job:
    return Job(
        name=top.name,
        steps=tuple(sections.steps),
        params=dict(reader.known.params),
        roles=roles.by_alias(),
        description=top.description,
        assume=top.assume,
        max_parallel=top.max_parallel,
        on_failure=top.on_failure,
        deadline=_to_seconds(top.deadline),
        state=sections.state,
        notify=sections.notify,
        telemetry=sections.telemetry or Telemetry(),
        glue=sections.glue.settings() if sections.glue is not None else None,
        engine=top.engine,
        file=reader.document.file,
        memory=None if isinstance(top.memory, Template) else top.memory,
        includes=tuple(top.include),
        secret_params=frozenset(reader.known.secrets),
        secret_sources=tuple(sections.sources.values()),
        undecided=(*roles.list_undecided(), *sections.list_undecided(top)),
        environment=environment.name if environment is not None else "",
        environments=environment.list_names() if environment is not None else (),
    )


def _select_environment(name: str, reader: SpecReader) -> Optional[Environment]:
    """Returns the environment of the load; None for a spec that has no environments."""
    data = reader.document.data
    if not isinstance(data, dict) or ("environments" not in data and not name):
        return None
    from rolerunner.spec.environments import select_environment  # noqa: PLC0415 - few specs have environments

    return select_environment(name, reader)


def _check_changed_roles(environment: Environment, roles: Roles, reader: SpecReader) -> None:
    roles.explain_missing(dict(environment.list_removed_roles()))
    if not any(problem.mark.file != reader.document.file for problem in reader.known.problems):
        environment.report_unknown_roles(reader)


def load_notify_section(
    text: str,
    file: str,
    given: Mapping[str, Any],
    read_include: Callable[[str], tuple[str, str]],
    env: str = "",
) -> Optional[Job]:
    """Returns a job without steps, with the targets of ``notify`` that have no mistakes.

    Mistakes of the spec and of the params are ignored; None if nothing of the spec can be read.
    """
    try:
        reader = SpecReader(parse_document(text, file), LoadContext())
        environment = _select_environment(env, reader)
        reader = environment.apply_to_spec(reader) if environment is not None else reader
        top = _parse_top(reader)
        with suppress(UsageError):
            parse_params(top.params, given, reader, complete=False, ignored_names=given)
    except (SpecError, UsageError):
        return None
    roles = Roles()
    roles.read(top.roles, reader)
    for index, name in enumerate(top.include[:MAX_INCLUDES]):
        _read_include(name, index, roles, reader, read_include, environment)
    roles.link()
    return Job(
        name=top.name,
        steps=(),
        params=dict(reader.known.params),
        roles=roles.by_alias(),
        notify=_parse_notify(top.notify, roles, reader),
        file=file,
        secret_params=frozenset(reader.known.secrets),
        secret_sources=tuple(_parse_secret_sources(top.params, roles, reader).values()),
    )


def _parse_top(reader: SpecReader) -> SpecFile:
    data = reader.document.data
    if not isinstance(data, dict):
        raise SpecError(
            [reader.document.problem((), "a spec must be a mapping that starts with 'version: 1'")]
        )
    data = _check_version(data, reader)
    try:
        return SpecFile.model_validate(data)
    except ValidationError as error:
        for problem in validation.list_problems(error, reader.document, (), SpecFile):
            reader.add_at(problem.mark, problem.message, problem.hint)
    return _salvage_top(data, reader)


def _check_version(data: dict[str, Any], reader: SpecReader) -> dict[str, Any]:
    """Returns the data with a valid version; reports a wrong one.

    Raises SpecError for another version, whose further mistakes would be noise.
    """
    version = data.get("version")
    if type(version) is int and version == 1:
        return data
    if "version" not in data:
        reader.add((), "'version' is missing", "start the spec with 'version: 1'")
    elif version in (1, "1", None):
        reader.add(
            ("version",),
            f"'version' must be 1, not {validation.describe_value(version)}",
            "write version: 1",
        )
    else:
        hint = "this release of rolerunner supports version 1 only"
        raise SpecError(
            [
                reader.document.problem(
                    ("version",),
                    f"'version' must be 1, not {validation.describe_value(version)}",
                    hint,
                )
            ]
        )
    return {**data, "version": 1}


def _salvage_top(data: dict[str, Any], reader: SpecReader) -> SpecFile:
    """Returns the valid parts of a top level with mistakes, so that its steps are checked too."""
    usable: dict[str, Any] = {"version": 1, "name": "unnamed", "steps": [None]}
    for key in SpecFile.model_fields:
        if key in data and _is_valid({**usable, key: data[key]}):
            usable[key] = data[key]
    params = data.get("params")
    if "params" not in usable and isinstance(params, dict):
        usable["params"] = {
            name: value
            for name, value in params.items()
            if _is_valid({**usable, "params": {name: value}})
        }
        reader.known.undecided.update(name for name in params if name not in usable["params"])
    return SpecFile.model_validate(usable)


def _is_valid(values: dict[str, Any]) -> bool:
    try:
        SpecFile.model_validate(values)
    except ValidationError:
        return False
    return True


def _read_include(
    name: str,
    index: int,
    roles: Roles,
    reader: SpecReader,
    read: Optional[Callable[[str], tuple[str, str]]],
    environment: Optional[Environment],
) -> None:
    path = ("include", index)
    if read is None:
        reader.add(path, "files cannot be included here")
        return
    try:
        included = SpecReader(_parse_include(name, read), reader.known)
    except UsageError as error:
        reader.add(path, f"'{name}' cannot be included: {str(error).rpartition(': ')[2]}")
        return
    except SpecError as error:
        reader.known.problems.extend(error.problems)
        return
    if not isinstance(included.document.data, dict) or not isinstance(
        included.document.data.get("roles"), dict
    ):
        # the file's text is not shown: it may be any file of the machine
        reader.add(
            path,
            f"'{name}' is not a file with roles",
            "it must be a mapping with 'roles' only",
        )
    else:
        if environment is not None:
            included = environment.apply_to_include(included)
        found = included.validate_model(IncludedFile, included.document.data, ())
        roles.read(found.roles if found else {}, included)


def _parse_include(name: str, read: Callable[[str], tuple[str, str]]) -> Document:
    text, file = read(name)
    return parse_document(text, file, show_text=False)


def _parse_secret_sources(
    params: Mapping[str, ParamFields], roles: Roles, reader: SpecReader
) -> dict[str, SecretSource]:
    if all(each.from_ is each.role is each.kms_key is None for each in params.values()):
        return {}
    from rolerunner.spec.secret_sources import parse_secret_sources  # noqa: PLC0415 - many specs fetch none

    return parse_secret_sources(params, roles, reader)


def _parse_state(state_fields: Any, roles: Roles, reader: SpecReader) -> Optional[StateLocation]:
    """Returns the place of the state; None if there is none, or if it is wrong or not known."""
    if state_fields is None:
        return None
    if not isinstance(state_fields, dict):
        reader.add(("state",), "'state' must be a mapping with 'location'")
        return None
    read = reader.validate_model(
        StateFields,
        reader.fill_known(
            reader.parse_templates(state_fields, ("state",), ("params",)), ("state",)
        ),
        ("state",),
    )
    if read is None:
        return None
    if isinstance(read.role, str):  # not a template, which is a mistake or waits for params
        roles.check(read.role, ("state", "role"), reader)
    if any(isinstance(value, Template) for value in vars(read).values()):
        return None
    return StateLocation(
        read.location, None if read.role is None else roles.find(read.role), read.stale_after
    )


def _parse_notify(value: Any, roles: Roles, reader: SpecReader) -> tuple[Notification, ...]:
    if value is None:
        return ()
    from rolerunner.spec.notify_fields import parse_notifications  # noqa: PLC0415 - many specs have no such section

    return parse_notifications(value, roles, reader)


def _parse_telemetry(value: Any, reader: SpecReader) -> Optional[Telemetry]:
    """Returns what is reported; None if it is wrong."""
    if value is None:
        return Telemetry()
    from rolerunner.spec.telemetry_fields import parse_telemetry  # noqa: PLC0415 - many specs have no such section

    return parse_telemetry(value, reader)


def _parse_glue(top: SpecFile, reader: SpecReader) -> Optional[GlueFields]:
    if top.glue is None:
        return None
    from rolerunner.spec.glue_section import read_glue  # noqa: PLC0415 - takes 2 ms, and many specs have no such section

    return read_glue(top.glue, top.params, top.steps, reader)


def _to_seconds(value: Any) -> Optional[float]:
    return None if value is None or isinstance(value, Template) else float(value)
