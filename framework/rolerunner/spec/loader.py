"""Loads a spec: text to Job, with all mistakes reported together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import SpecError, UsageError
from rolerunner.model import Job, Telemetry
from rolerunner.spec.expressions import Template
from rolerunner.spec.params import parse_params
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.roles import Roles
from rolerunner.spec.schema import IncludedFile, SpecFile
from rolerunner.spec.sections import parse_notify, parse_secret_fields, parse_sections
from rolerunner.spec.top_level import parse_top_level
from rolerunner.spec.yaml_parser import parse_document

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from rolerunner.spec.action_schema import ActionSchema
    from rolerunner.spec.document import Document
    from rolerunner.spec.environments import Environment
    from rolerunner.spec.sections import Sections

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
    own = SpecReader(_parse_spec(text, file), LoadContext(code_is_here=code_is_here))
    environment = _select_environment(env, own)
    reader = environment.apply_to_spec(own) if environment is not None else own
    top = parse_top_level(reader)
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
    sections = parse_sections(top, kinds, roles, reader)
    if reader.known.problems:
        raise SpecError(reader.known.problems)
    if wrong_params is not None:
        raise wrong_params
    return _build_job(top, sections, roles, reader, environment)


def _build_job(
    top: SpecFile,
    sections: Sections,
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
        reader = SpecReader(_parse_spec(text, file), LoadContext())
        environment = _select_environment(env, reader)
        reader = environment.apply_to_spec(reader) if environment is not None else reader
        top = parse_top_level(reader)
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
        notify=parse_notify(top.notify, roles, reader),
        file=file,
        secret_params=frozenset(reader.known.secrets),
        secret_sources=tuple(parse_secret_fields(top.params, roles, reader).values()),
    )


def _parse_spec(text: str, file: str) -> Document:
    document = parse_document(text, file)
    if "secret" in text or "_key" in text or "pass" in text:
        from rolerunner.spec.written_secrets import register_written_secrets  # noqa: PLC0415 - few specs hold any

        register_written_secrets(document.data)
    return document


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
        for problem in error.problems:
            reader.add_problem(problem)
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


def _to_seconds(value: Any) -> Optional[float]:
    return None if value is None or isinstance(value, Template) else float(value)
