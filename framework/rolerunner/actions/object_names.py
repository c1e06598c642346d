"""The names of objects and files below a step's target, worked out for each object."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, ClassVar, Optional, Union

from pydantic import BeforeValidator, ValidationInfo, model_validator

from rolerunner.actions.base import Field
from rolerunner.errors import UnsafeKey
from rolerunner.spec.expressions import Expression, Template
from rolerunner.spec.field_types import DYNAMIC, PARTIAL_VALUES, Flag, StrictModel, json_form
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.object_templates import ObjectTemplate, list_object_names, reads_object

_UNSAFE = re.compile(r"\A/|/\Z|\A\Z|(?:\A|/)\.{1,2}(?:/|\Z)|\0")
"""Names that are empty, that begin or end with ``/``, with a part ``.`` or ``..``, or a NUL."""


def _check_text(value: Any) -> Any:
    problem = find_name_problem(value) if isinstance(value, str) else ""
    if problem:
        raise ValueError(problem)
    return value


ObjectName = Annotated[
    Union[str, ObjectTemplate],
    BeforeValidator(_check_text),
    json_form(type="string"),
    DYNAMIC,
]


class NameFields(StrictModel):
    """Fields that give objects other names at the target."""

    object_fields: ClassVar[tuple[str, ...]] = ("name",)

    name: Optional[ObjectName] = Field(
        None,
        description=(
            "The name of each object below target, by default its key relative to the source; an"
            " expression reads object.key, relative, folder, name, stem, suffix, size, modified"
            " and number."
        ),
        examples=["${{ object.folder }}${{ object.stem }}-${{ run.date }}${{ object.suffix }}"],
    )
    flatten: Flag = Field(
        False,
        description="Leave out folders: short for a name of ${{ object.name }}.",
        examples=[True],
    )

    @model_validator(mode="after")
    def _name_makes_sense(self, info: ValidationInfo) -> Any:
        if self.name is not None and self.flatten is True:
            raise ValueError("'name' and 'flatten' exclude each other")
        parts = self.name.parts if isinstance(self.name, (Template, ObjectTemplate)) else ()
        texts = [part if isinstance(part, str) else "x" for part in parts]
        problem = find_name_problem("".join(texts)) if texts else ""
        if problem:
            raise ValueError(f"'name' {problem}")
        is_known = not (info.context and info.context.get(PARTIAL_VALUES))
        if is_known and _is_fixed(self.name):
            self._check_single()
        if "number" in list_object_names(self.name):
            self._check_numbers()
        return self

    def _check_single(self) -> None:
        """Raises ValueError if the source is certainly not one object, which has a fixed name."""
        source, objects = getattr(self, "source", None), getattr(self, "objects", None)
        several = source is None and not (isinstance(objects, list) and len(objects) == 1)
        is_folder = isinstance(source, str) and source.endswith("/")
        if several or is_folder or isinstance(source, list) or getattr(source, "is_prefix", False):
            raise ValueError(
                "'name' would be the same for all objects; read 'object' in it, as in"
                " prefix-${{ object.name }} (a step itself is named by 'id' and 'description')"
            )

    def _check_numbers(self) -> None:
        for option in ("move", "delete_extra"):
            if getattr(self, option, False) is True:
                raise ValueError(
                    f"'object.number' cannot be used with '{option}': numbers shift when an object"
                    " comes or goes, so another run would overwrite or delete what this one stored"
                )

    @property
    def renames(self) -> bool:
        """True if objects get other names than their relative keys."""
        return self.name is not None or self.flatten is True

    def namer(self) -> "ObjectNamer":
        """Returns what works out the names, once the step's values are known."""
        return ObjectNamer(self.name, flatten=self.flatten)


def _is_fixed(name: Any) -> bool:
    """Returns True for a name that is the same for every object; a mistake may be either."""
    if isinstance(name, Template):
        return not reads_object(name) and all(
            isinstance(part, (str, Expression)) for part in name.parts
        )
    return isinstance(name, str)


class ObjectNamer:
    """Works out the name of each object below the target."""

    def __init__(self, name: Union[str, ObjectTemplate, None], *, flatten: bool) -> None:
        self.renames = name is not None or flatten
        """True if objects get other names than their relative keys."""
        self._flatten = flatten
        self._text = name or "" if not isinstance(name, ObjectTemplate) else ""
        self._evaluator = name.compile() if isinstance(name, ObjectTemplate) else None
        read = list_object_names(name)
        self.reads_status = not read.isdisjoint(("size", "modified"))
        """True if names depend on size or time, which for a file must be looked up."""
        self._reads_modified = "modified" in read

    def name(self, key: str, relative: str, size: int, modified: str, number: int) -> str:
        """Returns the name of an object. Raises UnsafeKey if it has none, or leaves the target.

        ``modified`` is in the form of S3; ``number`` counts the objects of a step from 1.
        """
        if not self.renames:
            return relative
        name = self._evaluate(key, relative, size, modified, number)
        if (not name or "/." in name or "\0" in name or name[0] in "/." or name[-1] == "/") and (
            _UNSAFE.search(name)  # takes longer than all the rest
        ):
            raise UnsafeKey(f"the name '{name}' of {key} {find_name_problem(name)}")
        return name

    def _evaluate(self, key: str, relative: str, size: int, modified: str, number: int) -> str:
        start = relative.rfind("/") + 1
        last = relative[start:]
        if self._flatten:
            return last
        if self._evaluator is None:
            return self._text
        dot = last.rfind(".")
        if not 0 < dot < len(last) - 1:
            dot = len(last)
        moment = _parse_time(key, modified) if self._reads_modified else None
        folder, stem, suffix = relative[:start], last[:dot], last[dot:]
        try:  # in the order of OBJECT_NAMES
            return self._evaluator(
                (key, relative, folder, last, stem, suffix, size, moment, number)
            )
        except ExpressionError as error:
            raise UnsafeKey(f"{key} has no name: {error}") from None


def is_folder_marker(key: str, size: int) -> bool:
    """Returns True for the empty object that stands for a folder, which has no name of its own."""
    return size == 0 and key.endswith("/")


def _parse_time(key: str, modified: str) -> datetime:
    try:
        return datetime.fromisoformat(f"{modified[:19]}+00:00")
    except ValueError:
        raise UnsafeKey(
            f"{key} has no name: its time is not known, since another step stored it",
            hint="use 'source' instead of 'objects', or s3.list, which reads times",
        ) from None


_PROBLEMS: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda name: not name, "is empty"),
    (lambda name: "\0" in name, "contains a NUL character"),
    (lambda name: name.startswith("/"), "begins with '/'; it must be relative to the target"),
    (lambda name: name.endswith("/"), "ends with '/'; it must name an object, not a folder"),
    (
        lambda name: bool(_UNSAFE.search(name)),
        "has a part '.' or '..', and could leave the target",
    ),
)


def find_name_problem(name: str) -> str:
    """Returns why an object cannot have a name below the target; empty if it can."""
    return next((words for applies, words in _PROBLEMS if applies(name)), "")
