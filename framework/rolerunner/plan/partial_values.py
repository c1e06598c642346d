"""Evaluates a step before the run; ``*`` and other placeholders stand for unknown values."""

from __future__ import annotations

import base64
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, Optional

from pydantic import ValidationError

from rolerunner.common.failures import as_step_error
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import Secret
from rolerunner.selection.manifest import placeholder_list
from rolerunner.spec.expressions import Expression, Template, replace_known_parts
from rolerunner.spec.field_types import PARTIAL_VALUES
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.nested_templates import fill_templates, iter_templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.actions.base import Action

ANY = "*"
UNKNOWN_PERMISSIONS = "permissions cannot be derived; declare them under 'permissions'"
"""The note for a step whose fields imply no permissions, such as a function call."""
PERMISSIONS_NOTE = "; permissions are for "
"""In a note, between what is unknown and what permissions are for instead."""
_ANY_CUSTOMER_KEY = base64.b64encode(b"stand-in for some customer's key").decode()
_ANY_OBJECT = S3Uri(ANY, ANY)
_PLACEHOLDERS: tuple[Any, ...] = (
    placeholder_list(S3Uri(ANY), versions=None), _ANY_OBJECT, True, 1, "skip_same",
    "bucket-owner-full-control", {"type": "aws:kms", "key": ANY}, [], {},
)  # fmt: skip
"""Placeholders of fields that are not text, widest first.

A placeholder must not need fewer permissions than the field's value could.
"""


def fill_known(value: Any, scope: Mapping[str, Any]) -> Any:
    """Returns the value with every template evaluated that can be; the others stay."""
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


def fill_partly(value: Any, scope: Mapping[str, Any]) -> Any:
    """Returns the same, with the expressions evaluated that can be; secrets stay."""
    known = fill_known(value, scope)
    if isinstance(known, Template):
        return replace_known_parts(known, scope)
    if isinstance(known, dict):
        return {key: fill_partly(each, scope) for key, each in known.items()}
    if isinstance(known, list):
        return [fill_partly(each, scope) for each in known]
    return known


@dataclass
class PartialValues:
    """Evaluates fields of a step with what is known before the run.

    ``scope`` has the values that expressions can read; ``predicted`` maps paths of earlier steps'
    outputs to values like them. ``fetched`` names the secret params that only a run fetches.
    """

    scope: Mapping[str, Any]
    predicted: Mapping[tuple[str, ...], Any]
    fetched: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    """Values that are not known, and so widen permissions."""

    def build_action(self, action: type[Action], fields: Mapping[str, Any]) -> Optional[Action]:
        """Returns the action with placeholders; None, with a note, if none are accepted."""
        values = {
            key: self._widen_field(key, _mask_secrets(value) if key == "parameters" else value)
            for key, value in fields.items()
        }
        left: dict[str, list[Any]] = {}
        for _ in range(len(_PLACEHOLDERS) + 2):
            try:
                built = action.model_validate(values, context={PARTIAL_VALUES: True})
            except ValidationError as error:
                wrong = {
                    str(detail["loc"][0])
                    for detail in error.errors(include_url=False)
                    if detail["loc"]
                } & set(values)
                for key in wrong:
                    options = left.setdefault(key, [_parse_location(values[key]), *_PLACEHOLDERS])
                    if options:
                        values[key] = options.pop(0)
                    else:
                        del values[key]
                if not wrong:
                    break
            except Exception as error:  # noqa: BLE001 - a validator of another package's action may raise anything
                self.note_failure(error)
                return None
            else:
                self._add_notes(built, fields, values, left)
                return built
        self.notes.append(
            "permissions cannot be derived before the run; declare them under 'permissions'"
        )
        return None

    def note_failure(self, error: Exception) -> None:
        """Adds a note that the action's code failed, so that its permissions are unknown."""
        self.notes.append(
            f"permissions cannot be derived: {as_step_error(error).message}; "
            "declare them under 'permissions'"
        )

    def widen_text(self, name: str, value: Any) -> str:
        """Returns a text with ``*`` for unknown values, and adds a note with this name."""
        wide = str(self._widen_value(value))
        if isinstance(value, Template) and not self._is_known(value):
            self.notes.append(
                f"{name}: {value} is known only during the run{PERMISSIONS_NOTE}{wide}"
            )
        return wide

    def _add_notes(
        self,
        built: Action,
        fields: Mapping[str, Any],
        values: Mapping[str, Any],
        placeholders: Mapping[str, Any],
    ) -> None:
        for name, value in fields.items():
            unknown = [
                str(template)
                for _, template in iter_templates({name: value})
                if not self._is_known(template) and not self._is_secret(template)
            ]
            wide = getattr(built, name, None)
            matters = (
                name in placeholders
                or name == "parameters"
                or (isinstance(wide, S3Uri) and ANY in str(wide))
            )
            if unknown and matters and name in values:
                stand_in = getattr(wide, "prefix", wide)
                self.notes.append(
                    f"{name}: {', '.join(unknown)} is known only during the run"
                    f"{PERMISSIONS_NOTE}{stand_in}"
                )

    def _is_secret(self, template: Template) -> bool:
        """Returns True if all that is unknown of it is secret, so that permissions hide it too."""
        secrets = {("params", name) for name in self.fetched}
        return all(reference.path[:2] in secrets for reference in template.references)

    def _is_known(self, template: Template) -> bool:
        return (
            template.name is not None and template.name.path in self.predicted
        ) or not isinstance(fill_known(template, self.scope), Template)

    def _widen_field(self, name: Any, value: Any) -> Any:
        """Returns the value of a field or key; an unknown customer key has a form of its own."""
        wide = self._widen_value(value)
        is_key = isinstance(value, Template) and str(name).endswith("customer_key")
        return _ANY_CUSTOMER_KEY if is_key and ANY in str(wide) else wide

    def _widen_value(self, value: Any) -> Any:
        if isinstance(value, Template):
            if template_path(value) in self.predicted:
                return self.predicted[template_path(value)]
            filled = fill_known(value, self.scope)
            return self._widen_text(value) if isinstance(filled, Template) else filled
        if isinstance(value, dict):
            return {key: self._widen_field(key, each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._widen_value(each) for each in value]
        return value

    def _widen_text(self, template: Template) -> str:
        parts = (
            self._evaluate_part(part) if isinstance(part, Expression) else str(part)
            for part in template.parts
        )
        return re.sub(r"\*{2,}", ANY, "".join(parts))

    def _evaluate_part(self, expression: Expression) -> str:
        try:
            return str(
                Template("", ("", expression)).evaluate(self.scope)
            )  # the empty text beside it makes it text
        except ExpressionError:
            return ANY


def _mask_secrets(value: Any) -> Any:
    """Replaces secrets by ``*``: permissions are shown, and stored as policies."""
    if isinstance(value, dict):
        return {key: _mask_secrets(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_mask_secrets(each) for each in value]
    return ANY if isinstance(value, Secret) else value


def template_path(template: Template) -> tuple[str, ...]:
    """Returns the path of the name that a template consists of; empty for any other template."""
    return template.name.path if template.name is not None else ()


def _parse_location(value: Any) -> Any:
    """Returns a URI for a text with an unknown bucket, which S3Uri.parse does not accept."""
    if not isinstance(value, str) or ANY not in value:
        return value
    bucket, _, key = (
        value.removeprefix("s3://").partition("/") if value.startswith("s3://") else (ANY, "", ANY)
    )
    return S3Uri(bucket, key)
