"""Reads a document and collects its problems, so that all of them are reported together."""

from __future__ import annotations

from dataclasses import field, replace
from datetime import datetime, timezone
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from pydantic import BaseModel, ValidationError

from rolerunner.common.failures import as_step_error
from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec import validation
from rolerunner.spec.expressions import Template, is_template, scan_template
from rolerunner.spec.field_types import FOLDER, PACKAGES, PACKAGES_PRESENT, TEMPLATES_ALLOWED
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.foreign_templates import find_foreign_templates
from rolerunner.spec.nested_templates import BROKEN_EXPRESSION
from rolerunner.spec.object_templates import OBJECT, OBJECT_SAMPLE, find_type_mistake
from rolerunner.spec.scopes import CLOCK_NAMES, find_scope_mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rolerunner.errors import Mark, Problem
    from rolerunner.spec.document import Document, Path
    from rolerunner.spec.expressions import Expression
    from rolerunner.spec.grammar import Reference

M = TypeVar("M", bound=BaseModel)

_CLOCK_PATHS = {(name,) for name in CLOCK_NAMES}
_WHERE_SECRETS_GO = (
    "secrets can flow into arguments of python.call, parameters of aws.call, a customer_key, "
    "the credentials of SFTP, and the webhook of a notification"
)


def accepts_no_secret(path: Path) -> bool:
    """Returns False: no field accepts a secret."""
    del path
    return False


@dataclass
class LoadContext:
    """Values shared by all documents of a load."""

    problems: list[Problem] = field(default_factory=list)
    added: set[Problem] = field(default_factory=set)
    """The problems that readers added: a long list is slow to search."""
    params: dict[str, Any] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)
    """Params without a known value: not set, or wrong."""
    secrets: set[str] = field(default_factory=set)
    """Names of secret params."""
    aliases: set[str] = field(default_factory=set)
    """Aliases of roles that an environment can change."""
    code_is_here: bool = False
    """Whether the functions that steps call must exist on this machine."""
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def clock(self) -> dict[str, Any]:
        """The values of ``today`` and ``now``."""
        return {"today": self.now.date(), "now": self.now}


@dataclass(frozen=True)
class SpecReader:
    """Reads values of a document; problems are added to the context."""

    document: Document
    known: LoadContext
    accepts_secret: Callable[[Path], bool] = accepts_no_secret
    """Returns True if a secret may flow to a path of the document."""

    @property
    def context(self) -> dict[str, Any]:
        """The context of validators: templates are allowed, and where the user's code is."""
        file = self.document.file
        here = self.known.code_is_here
        folder = (
            (str(FilePath.cwd()) if here else None)
            if file.startswith("s3://")
            else str(FilePath(file).absolute().parent)
        )
        complete = here and not self._glue_list("requirements")
        return {
            **TEMPLATES_ALLOWED,
            FOLDER: folder,
            PACKAGES: self._glue_list("packages"),
            PACKAGES_PRESENT: complete,
        }

    def _glue_list(self, name: str) -> list[str]:
        """Returns a list of texts in the ``glue`` section, ignoring mistakes."""
        glue = self.document.data.get("glue") if isinstance(self.document.data, dict) else None
        declared = glue.get(name) if isinstance(glue, dict) else None
        return (
            [each for each in declared if isinstance(each, str)]
            if isinstance(declared, list)
            else []
        )

    def add(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Adds a problem at a path, unless it has been added before."""
        self._add_problem(self.document.problem(path, message, hint, key=key))

    def add_at(self, mark: Mark, message: str, hint: str = "") -> None:
        """Adds a problem at a place, unless it has been added before."""
        self._add_problem(self.document.problem_at(mark, message, hint))

    def add_problem(self, problem: Problem) -> None:
        """Adds a problem, unless it has been added before."""
        self._add_problem(problem)

    def _add_problem(self, problem: Problem) -> None:
        if problem not in self.known.added:
            self.known.added.add(problem)
            self.known.problems.append(problem)

    def require_secret_param(self, value: Any, path: Path) -> None:
        """Reports a value that is not a secret param alone; a secret in the spec is not shown."""
        if not isinstance(value, Template):
            problem = self.document.problem(
                path,
                f"'{path[-1]}' is a secret, which cannot be in a spec",
                "declare a param with 'secret: true' and write ${{ params.NAME }}",
            )
            self._add_problem(replace(problem, line=""))
        elif BROKEN_EXPRESSION not in value.parts and (
            value.name is None
            or value.name.path[0] != "params"
            or value.name.path[1] not in self.known.secrets
        ):
            self.add(
                path,
                f"'{path[-1]}' must be a secret param and nothing else",
                "declare the param with 'secret: true' and write ${{ params.NAME }}",
            )

    def validate_model(
        self, model: type[M], value: Any, path: Path, more_keys: Iterable[str] = ()
    ) -> Optional[M]:
        """Returns the value as a model; None, with its problems added, if it is not valid."""
        try:
            return model.model_validate(value, context=self.context)
        except ValidationError as error:
            for problem in validation.list_problems(error, self.document, path, model, more_keys):
                self._add_problem(problem)
        except Exception as error:  # noqa: BLE001 - a validator of another package's action may raise anything
            self.add(
                path,
                f"validation failed: {as_step_error(error).message}",
                "the action's own validator raised an error",
            )
        return None

    def parse_templates(
        self, value: Any, path: Path, scopes: tuple[str, ...], *, content: bool = False
    ) -> Any:
        """Returns the value with each text that contains ``${{`` parsed as a Template.

        ``content`` is True for the user's own content, where templates of other tools are allowed.
        """
        if isinstance(value, str):
            return (
                self._parse_template(value, path, scopes, content=content)
                if is_template(value)
                else self._read_text(value, path, scopes, content=content)
            )
        if isinstance(value, dict):
            return {
                key: self.parse_templates(each, (*path, key), scopes, content=content)
                for key, each in value.items()
            }
        if isinstance(value, list):
            return [
                self.parse_templates(each, (*path, index), scopes, content=content)
                for index, each in enumerate(value)
            ]
        return value

    def _parse_template(
        self, text: str, path: Path, scopes: tuple[str, ...], *, content: bool
    ) -> Template:
        template, errors = scan_template(text)
        for error in errors:
            self.add_at(self.mark_offset(path, text, error.offset), str(error), error.hint)
        for expression in template.expressions:
            for reference in expression.references:
                self._check_scope(
                    reference, scopes, self.mark_reference(path, text, expression, reference)
                )
        wrong = self._refuses_secrets(template, path) or bool(errors)
        offset = 0
        for part in (part for part in template.parts if isinstance(part, str)):
            offset = text.index(part, offset)
            wrong |= self._is_foreign(part, offset, text, path, scopes, content=content)
            offset += len(part)
        return Template(text, (*template.parts, BROKEN_EXPRESSION)) if wrong else template

    def _refuses_secrets(self, template: Template, path: Path) -> bool:
        """Returns True for a template that reads a secret param where none may flow.

        Each such param is a mistake.
        """
        if self.accepts_secret(path):
            return False
        secrets = self.known.secrets
        found = [
            (expression, reference)
            for expression in template.expressions
            for reference in expression.references
            if reference.path[0] == "params" and secrets.intersection(reference.path[1:2])
        ]
        for expression, reference in found:
            self.refuse_secret(path, template.text, expression, reference)
        return bool(found)

    def refuse_secret(
        self, path: Path, text: str, expression: Expression, reference: Reference
    ) -> None:
        """Reports a secret that flows to a field where it would be shown or stored."""
        field_name = next((part for part in reversed(path) if isinstance(part, str)), "")
        message = f"'{reference}' is a secret, which cannot flow into '{field_name}'"
        self.add_at(
            self.mark_reference(path, text, expression, reference), message, _WHERE_SECRETS_GO
        )

    def _read_text(self, text: str, path: Path, scopes: tuple[str, ...], *, content: bool) -> Any:
        """Returns the text, or a Template that is never evaluated for one of another tool."""
        return (
            Template(text, (text, BROKEN_EXPRESSION))
            if self._is_foreign(text, 0, text, path, scopes, content=content)
            else text
        )

    def _is_foreign(
        self,
        part: str,
        offset: int,
        text: str,
        path: Path,
        scopes: tuple[str, ...],
        *,
        content: bool,
    ) -> bool:
        found = list(
            find_foreign_templates(
                part, scopes, {*self.known.params, *self.known.undecided}, content=content
            )
        )
        for each in found:
            self.add_at(self.mark_offset(path, text, offset + each.offset), each.message, each.hint)
        return bool(found)

    def mark_reference(
        self, path: Path, text: str, expression: Expression, reference: Reference
    ) -> Mark:
        """Returns the place of a name in the file."""
        return self.mark_offset(
            path, text, expression.offset + max(expression.text.find(str(reference)), 0)
        )

    def mark_offset(self, path: Path, text: str, offset: int) -> Mark:
        """Returns the place of the character at ``offset`` of a scalar's text, or of the scalar."""
        return self.document.mark_offset(path, text, offset)

    def _check_scope(self, reference: Reference, scopes: tuple[str, ...], mark: Mark) -> None:
        params = (*self.known.params, *self.known.undecided)
        message, hint = find_scope_mistake(reference, scopes, params)
        if message:
            self.add_at(mark, message, hint)

    def check_object_template(self, template: Template, path: Path) -> None:
        """Reports expressions that are wrong for every object."""
        if BROKEN_EXPRESSION in template.parts:
            return
        scope = {"params": self.known.params, **self.known.clock}
        for expression in template.expressions:
            if all(self._is_known_name(each) for each in expression.references):
                message = find_type_mistake(expression, scope)
                if message:
                    self.add_at(self.mark_offset(path, template.text, expression.offset), message)

    def _is_known_name(self, reference: Reference) -> bool:
        if reference.path[0] == OBJECT:
            return reference.path[1:2] != () and reference.path[1] in OBJECT_SAMPLE
        return self._has_value(reference)

    def fill_known(self, value: Any, path: Path) -> Any:
        """Returns the value with each template evaluated that depends on known params only."""
        if isinstance(value, Template):
            return self._fill_template(value, path)
        if isinstance(value, dict):
            return {key: self.fill_known(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.fill_known(each, (*path, index)) for index, each in enumerate(value)]
        return value

    def _fill_template(self, template: Template, path: Path) -> Any:
        if BROKEN_EXPRESSION in template.parts or not self._is_known(template):
            return template
        try:
            return template.evaluate({"params": self.known.params, **self.known.clock})
        except ExpressionError as error:
            self.add_at(self.mark_offset(path, template.text, 0), str(error), error.hint)
        return template

    def _is_known(self, template: Template) -> bool:
        return all(map(self._has_value, template.references))

    def _has_value(self, reference: Reference) -> bool:
        return reference.path in _CLOCK_PATHS or (
            reference.path[0] == "params"
            and len(reference.path) > 1
            and reference.path[1] in self.known.params
        )
