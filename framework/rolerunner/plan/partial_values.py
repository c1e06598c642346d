"""What is known of a step before the run, and a stand-in that is wide enough for what is not: ``*``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from pydantic import ValidationError

from rolerunner.common.failures import as_step_error
from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import Secret
from rolerunner.selection.manifest import placeholder_list
from rolerunner.spec.expressions import Expression, Template
from rolerunner.spec.field_types import PARTIAL_VALUES
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.reader import fill_templates, iter_templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.actions.base import Action

ANY = "*"
UNKNOWN_PERMISSIONS = "nothing says what it needs: say 'permissions' on the step"
"""Of a step whose fields tell no permission, such as a function's call."""
_ANYWHERE = S3Uri(ANY, ANY)
_STAND_INS: tuple[Any, ...] = (
    placeholder_list(S3Uri(ANY), versions=None), _ANYWHERE, True, 1, "skip_same", "bucket-owner-full-control", {"type": "aws:kms", "key": ANY}, [], {},
)  # fmt: skip
"""What may stand for a field that is no text, widest first: it must not ask for fewer permissions than the field could."""


def fill_known(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with every template filled in that can be; the others stay."""
    if isinstance(value, Template):
        try:
            return fill_templates(value, scope)
        except ExpressionError:
            return value
    if isinstance(value, dict):
        return {key: fill_known(each, scope) for key, each in value.items()}
    if isinstance(value, list):
        return [fill_known(each, scope) for each in value]
    return value


@dataclass
class PartialValues:
    """``scope`` is what expressions may read now; ``predicted`` what outputs of steps before will be like, by their path."""

    scope: Mapping[str, Any]
    predicted: Mapping[tuple[str, ...], Any]
    notes: list[str] = field(default_factory=list)
    """What was widened so that permissions got wider."""

    def action(self, action: type[Action], fields: Mapping[str, Any]) -> Optional[Action]:
        """The action with stand-ins for what is not known; None where none will do, which is noted."""
        values = {
            key: self._wide(_without_secrets(value) if key == "parameters" else value)
            for key, value in fields.items()
        }
        left: dict[str, list[Any]] = {}
        for _ in range(len(_STAND_INS) + 2):
            try:
                made = action.model_validate(values, context={PARTIAL_VALUES: True})
            except ValidationError as error:
                wrong = {
                    str(detail["loc"][0])
                    for detail in error.errors(include_url=False)
                    if detail["loc"]
                } & set(values)
                for key in wrong:
                    options = left.setdefault(key, [_location(values[key]), *_STAND_INS])
                    if options:
                        values[key] = options.pop(0)
                    else:
                        del values[key]
                if not wrong:
                    break
            except Exception as error:  # noqa: BLE001 - a validator of another package's action may raise anything
                self.notes.append(
                    f"its permissions cannot be told: {as_step_error(error).message}; say 'permissions' on the step"
                )
                return None
            else:
                self._note(made, fields, values, left)
                return made
        self.notes.append(
            "its permissions cannot be told before the run: say 'permissions' on the step"
        )
        return None

    def text(self, name: str, value: Any) -> str:
        """A text, with ``*`` for what is not known, which is noted under this name."""
        wide = str(self._wide(value))
        if isinstance(value, Template) and not self._is_known(value):
            self.notes.append(f"{name}: {value} is not known yet, so {wide}")
        return wide

    def _note(
        self,
        made: Action,
        fields: Mapping[str, Any],
        values: Mapping[str, Any],
        stood_in: Mapping[str, Any],
    ) -> None:
        for name, value in fields.items():
            unknown = [
                str(template)
                for _, template in iter_templates({name: value})
                if not self._is_known(template)
            ]
            wide = getattr(made, name, None)
            matters = (
                name in stood_in
                or name == "parameters"
                or (isinstance(wide, S3Uri) and ANY in str(wide))
            )
            if unknown and matters and name in values:
                self.notes.append(
                    f"{name}: {', '.join(unknown)} is not known yet, so {getattr(wide, 'prefix', wide)}"
                )

    def _is_known(self, template: Template) -> bool:
        return (
            template.name is not None and template.name.path in self.predicted
        ) or not isinstance(fill_known(template, self.scope), Template)

    def _wide(self, value: Any) -> Any:
        if isinstance(value, Template):
            if template_path(value) in self.predicted:
                return self.predicted[template_path(value)]
            filled = fill_known(value, self.scope)
            return self._wide_text(value) if isinstance(filled, Template) else filled
        if isinstance(value, dict):
            return {key: self._wide(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._wide(each) for each in value]
        return value

    def _wide_text(self, template: Template) -> str:
        parts = (
            self._part(part) if isinstance(part, Expression) else str(part)
            for part in template.parts
        )
        return re.sub(r"\*{2,}", ANY, "".join(parts))

    def _part(self, expression: Expression) -> str:
        try:
            return str(
                Template("", ("", expression)).evaluate(self.scope)
            )  # with text beside it, so that it becomes text
        except ExpressionError:
            return ANY


def _without_secrets(value: Any) -> Any:
    """The value with ``*`` for each secret: permissions are shown, and stored as policies."""
    if isinstance(value, dict):
        return {key: _without_secrets(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    return ANY if isinstance(value, Secret) else value


def template_path(template: Template) -> tuple[str, ...]:
    """The path of the one name that a template consists of; empty where it is more than that."""
    return template.name.path if template.name is not None else ()


def _location(value: Any) -> Any:
    """A place in S3 whose bucket is not known, which S3Uri.parse would not take."""
    if not isinstance(value, str) or ANY not in value:
        return value
    bucket, _, key = (
        value.removeprefix("s3://").partition("/") if value.startswith("s3://") else (ANY, "", ANY)
    )
    return S3Uri(bucket, key)
