"""What the spec needs to know of an action: its fields, its roles and its outputs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Optional, Union

from rolerunner.model import Step
from rolerunner.redaction.secret_names import is_secret_name
from rolerunner.spec.field_types import StrictModel


class FieldConflictError(ValueError):
    """Fields of a step that do not go together; ``hint`` says what would."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ActionSchema(StrictModel):
    """An action as the spec sees it: a model of its fields, and what it says of itself."""

    kind: ClassVar[str]
    """What ``action:`` says, as in s3.list."""
    outputs: ClassVar[Optional[Mapping[str, str]]] = None
    """Name -> what it is; None where the user's own code decides."""
    samples: ClassVar[Mapping[str, Any]] = {}
    """Output -> a value of its kind, to find out while a spec is checked whether a field takes it."""
    role_fields: ClassVar[tuple[str, ...]] = ("role",)
    """Which keys name its roles; ``role`` stands in for each that is left out."""
    needs_role: ClassVar[bool] = True
    """False for an action that can do without talking to AWS."""
    content_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that hold the user's own content, such as a script or a query, which may look like another tool's template."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Fields of the example in its page, besides those that must be there."""

    @classmethod
    def accepts_secret(cls, path: tuple[Union[str, int], ...]) -> bool:
        """Returns True if a secret may flow into the field at ``path``, which is relative to the step."""
        return str(path[-1]).endswith("customer_key")

    @classmethod
    def is_secret_output(cls, fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
        """Returns True if what a step with these fields gives at ``path`` is known to be a secret before it runs."""
        del fields
        return is_secret_name(path[-1])

    @classmethod
    def sample(cls, output: str, fields: Mapping[str, Any]) -> Any:
        """A value such as an output of a step with these fields, which may be templates; None where nothing is known of it."""
        del fields
        return cls.samples.get(output)

    @classmethod
    def find_conflicts(cls, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
        """What is wrong with all steps of this kind together, and with their roles: a step's id and what is said of it."""
        del steps
        yield from ()
