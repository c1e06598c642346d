"""The schema of an action: its fields, roles and outputs."""

from collections.abc import Mapping
from typing import Any, ClassVar, Optional, Union

from rolerunner.redaction.secret_names import is_secret_name
from rolerunner.spec.field_types import NamesRole, StrictModel
from rolerunner.spec.values import HintedError


def _may_be_in_s3(value: Any) -> bool:
    place = value.get("from") if isinstance(value, dict) else None
    return isinstance(place, str) and (place.startswith("s3://") or "${{" in place)


class FieldConflictError(HintedError):
    """Fields of a step that conflict; ``hint`` is the remedy."""


class ActionSchema(StrictModel):
    """The model of an action's fields, with its description as class attributes."""

    kind: ClassVar[str]
    """The name of the action, such as s3.list."""
    outputs: ClassVar[Optional[Mapping[str, str]]] = None
    """Descriptions by name; None if the user's own code decides."""
    samples: ClassVar[Mapping[str, Any]] = {}
    """Example values of outputs, to check whether a field accepts them."""
    role_fields: ClassVar[tuple[str, ...]] = ("role",)
    """Keys that name its roles; ``role`` is the default of each."""
    needs_role: ClassVar[bool] = True
    """False for an action that does not have to call AWS."""
    secret_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that must be secret params: neither text in the spec nor a param that is shown."""
    content_fields: ClassVar[tuple[str, ...]] = ()
    """Fields with the user's own content, such as a script, which may hold foreign templates."""
    object_fields: ClassVar[tuple[str, ...]] = ()
    """Fields whose expressions may read ``object`` and are evaluated for each object."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Fields of the example in its page, in addition to required ones."""

    @classmethod
    def accepts_secret(cls, path: tuple[Union[str, int], ...]) -> bool:
        """Returns True if a secret may flow to ``path``, which is relative to the step."""
        return str(path[-1]).endswith("customer_key") or path[0] in cls.secret_fields

    @classmethod
    def list_nested_roles(cls, fields: Mapping[str, Any]) -> list[str]:
        """Returns the fields that are mappings with a role of their own, for a place in S3.

        ``fields`` are as the spec has them.
        """
        return [
            name
            for name, field in cls.model_fields.items()
            if any(isinstance(mark, NamesRole) for mark in field.metadata)
            and _may_be_in_s3(fields.get(name))
        ]

    @classmethod
    def is_secret_output(cls, fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
        """Returns True if the output at ``path`` is known to be a secret before the step runs."""
        del fields
        return is_secret_name(path[-1])

    @classmethod
    def sample(cls, output: str, fields: Mapping[str, Any]) -> Any:
        """Returns an example value of an output; None if its type is not known.

        ``fields`` may contain templates.
        """
        del fields
        return cls.samples.get(output)
