"""One reading of one document: problems are gathered, nothing is raised before all is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from pydantic import BaseModel, ValidationError

from rolerunner.common.failures import as_step_error
from rolerunner.spec import validation
from rolerunner.spec.expressions import Template, is_template, scan_template
from rolerunner.spec.field_types import FOLDER, PACKAGES, PACKAGES_PRESENT, TEMPLATES_ALLOWED
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.foreign_templates import find_foreign_templates
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rolerunner.errors import Mark, Problem
    from rolerunner.spec.document import Document, Path
    from rolerunner.spec.expressions import Expression
    from rolerunner.spec.grammar import Reference

M = TypeVar("M", bound=BaseModel)

RUN_NAMES = ("id", "name", "date", "time", "error")
"""What ``run.`` holds."""
CLOCK_NAMES = ("today", "now")
"""The date and the time of the run in UTC, readable everywhere."""
_CLOCK_PATHS = {(name,) for name in CLOCK_NAMES}
ITEM_NAMES = ("key", "uri", "size", "etag", "modified")
"""What ``item.`` holds where for_each goes through listed objects."""


_WHERE_SECRETS_GO = (
    "secrets may flow into arguments of python.call, parameters of aws.call, and a customer_key"
)


def accepts_no_secret(path: Path) -> bool:
    """No secret may flow into a field, wherever it is."""
    del path
    return False


@dataclass
class LoadContext:
    """What a whole load knows, whatever document it comes from."""

    problems: list[Problem] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)
    """Params whose value is not known, since it was not given or is wrong."""
    secrets: set[str] = field(default_factory=set)
    """Params that are secrets."""
    code_is_here: bool = False
    """True if the functions that steps call must be on this machine."""
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def clock(self) -> dict[str, Any]:
        """Today and now."""
        return {"today": self.now.date(), "now": self.now}


@dataclass(frozen=True)
class SpecReader:
    """A document and what is known."""

    document: Document
    known: LoadContext
    accepts_secret: Callable[[Path], bool] = accepts_no_secret
    """Tells of a place in the document whether a secret may flow there."""

    @property
    def context(self) -> dict[str, Any]:
        """What validators are told: that templates pass, and the spec's folder, where user code may lie."""
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
        """A list of texts in the ``glue`` section, which may be wrong."""
        glue = self.document.data.get("glue") if isinstance(self.document.data, dict) else None
        said = glue.get(name) if isinstance(glue, dict) else None
        return [each for each in said if isinstance(each, str)] if isinstance(said, list) else []

    def add(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """A mistake at a path; one that is there already is not told twice."""
        self._add(self.document.problem(path, message, hint, key=key))

    def add_at(self, mark: Mark, message: str, hint: str = "") -> None:
        """A mistake at a place."""
        self._add(self.document.problem_at(mark, message, hint))

    def add_problem(self, problem: Problem) -> None:
        """A mistake as it is; one that is there already is not told twice."""
        self._add(problem)

    def _add(self, problem: Problem) -> None:
        if problem not in self.known.problems:
            self.known.problems.append(problem)

    def validate_model(
        self, model: type[M], value: Any, path: Path, more_keys: Iterable[str] = ()
    ) -> Optional[M]:
        """The value as a model, or None with its mistakes gathered. Templates pass."""
        try:
            return model.model_validate(value, context=self.context)
        except ValidationError as error:
            for problem in validation.list_problems(error, self.document, path, model, more_keys):
                self._add(problem)
        except Exception as error:  # noqa: BLE001 - a validator of another package's action may raise anything
            self.add(
                path,
                f"cannot be checked: {as_step_error(error).message}",
                "its action's own check failed",
            )
        return None

    def parse_templates(
        self, value: Any, path: Path, scopes: tuple[str, ...], *, content: bool = False
    ) -> Any:
        """The value with each text that holds ``${{`` read as a Template, its names checked.

        ``content`` is true for text of the user's own, in which more may look like a template of another tool.
        """
        if isinstance(value, str):
            return (
                self._template(value, path, scopes, content=content)
                if is_template(value)
                else self._text(value, path, scopes, content=content)
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

    def _template(
        self, text: str, path: Path, scopes: tuple[str, ...], *, content: bool
    ) -> Template:
        template, errors = scan_template(text)
        for error in errors:
            hint = suggest_name(error.wrong, error.right) if error.wrong else ""
            self.add_at(self.mark_offset(path, text, error.offset), str(error), hint)
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
        """Returns True for a template that reads a secret param where none may flow; each is a mistake."""
        if self.accepts_secret(path):
            return False
        found = [
            (expression, reference) for expression in template.expressions for reference in expression.references
            if reference.path[0] == "params" and self.known.secrets.intersection(reference.path[1:2])
        ]  # fmt: skip
        for expression, reference in found:
            self.refuse_secret(path, template.text, expression, reference)
        return bool(found)

    def refuse_secret(
        self, path: Path, text: str, expression: Expression, reference: Reference
    ) -> None:
        """A secret that would flow where it would be shown or stored."""
        field_name = next((part for part in reversed(path) if isinstance(part, str)), "")
        message = f"'{reference}' is a secret, which may not flow into '{field_name}'"
        self.add_at(
            self.mark_reference(path, text, expression, reference), message, _WHERE_SECRETS_GO
        )

    def _text(self, text: str, path: Path, scopes: tuple[str, ...], *, content: bool) -> Any:
        """The text as it is; one with a template of another tool as a Template that nothing works out."""
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
        """Where a name stands in the file."""
        return self.mark_offset(
            path, text, expression.offset + max(expression.text.find(str(reference)), 0)
        )

    def mark_offset(self, path: Path, text: str, offset: int) -> Mark:
        """Where in the file the character at ``offset`` of a scalar's text stands, as well as can be told."""
        mark = self.document.mark(path)
        if path in self.document.blocks:
            line = mark.line + 1 + text.count("\n", 0, offset)
            before = text.rfind("\n", 0, offset) + 1
            end = text.find("\n", before)
            found = (
                self.document.lines[line - 1].find(text[before : end if end >= 0 else None])
                if line <= len(self.document.lines)
                else -1
            )
            return replace(mark, line=line, column=max(found, 0) + 1 + offset - before)
        line_text = self.document.lines[mark.line - 1]
        found = line_text.find(text, mark.column - 1)
        return replace(mark, column=found + 1 + offset) if found >= 0 else mark

    def _check_scope(self, reference: Reference, scopes: tuple[str, ...], mark: Mark) -> None:
        message, hint = self._scope_mistake(
            reference.path[0], reference.path[1] if len(reference.path) > 1 else "", scopes
        )
        if message:
            self.add_at(mark, message, hint)

    def _scope_mistake(self, head: str, name: str, scopes: tuple[str, ...]) -> tuple[str, str]:
        if head in CLOCK_NAMES:
            return (
                (f"'{head}' has no parts", f"use a filter, as in ${{{{ {head} | format('%Y') }}}}")
                if name
                else ("", "")
            )
        if head == "item" and head not in scopes:
            return "'item' can be read only in a step with for_each", ""
        if head not in scopes:
            known = (*scopes, *CLOCK_NAMES)
            return f"'{head}' cannot be read here", suggest_name(
                head, known
            ) or f"known: {', '.join(known)}"
        if head != "item" and not name:
            return f"'{head}' needs a name after it, as in {head}.NAME", ""
        if head == "params" and name not in self.known.params and name not in self.known.undecided:
            return f"there is no param '{name}'", suggest_name(
                name, (*self.known.params, *self.known.undecided)
            )
        if head == "run" and name not in RUN_NAMES:
            return f"there is no 'run.{name}'", suggest_name(
                name, RUN_NAMES
            ) or f"known: {', '.join(RUN_NAMES)}"
        return "", ""

    def fill_known(self, value: Any, path: Path) -> Any:
        """The value with each template that hangs on known params alone filled in; others stay templates."""
        if isinstance(value, Template):
            return self._filled_template(value, path)
        if isinstance(value, dict):
            return {key: self.fill_known(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.fill_known(each, (*path, index)) for index, each in enumerate(value)]
        return value

    def _filled_template(self, template: Template, path: Path) -> Any:
        if BROKEN_EXPRESSION in template.parts or not self._is_decided(template):
            return template
        try:
            return template.evaluate({"params": self.known.params, **self.known.clock})
        except ExpressionError as error:
            self.add_at(
                self.mark_offset(path, template.text, 0),
                str(error),
                suggest_name(error.wrong, error.right) if error.wrong else "",
            )
        return template

    def _is_decided(self, template: Template) -> bool:
        return all(
            reference.path in _CLOCK_PATHS
            or (
                reference.path[0] == "params"
                and len(reference.path) > 1
                and reference.path[1] in self.known.params
            )
            for reference in template.references
        )


class _BrokenExpression:
    """Stands in a template for an expression that is wrong, so that nothing tries to work it out."""


BROKEN_EXPRESSION = _BrokenExpression()


def iter_templates(value: Any, path: Path = ()) -> Iterator[tuple[Path, Template]]:
    """Every template inside a value, with the way to it."""
    if isinstance(value, Template):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from iter_templates(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from iter_templates(each, (*path, index))


def fill_templates(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with every template in it worked out. Raises ExpressionError."""
    if isinstance(value, Template):
        return value.evaluate(scope)
    if isinstance(value, dict):
        return {key: fill_templates(each, scope) for key, each in value.items()}
    if isinstance(value, list):
        return [fill_templates(each, scope) for each in value]
    return value
