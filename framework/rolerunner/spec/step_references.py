"""Checks what steps read from other steps: that the output exists, its type, and secrets."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Optional

from pydantic import ValidationError

from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.action_schema import FieldConflictError
from rolerunner.spec.expressions import Template
from rolerunner.spec.item_roles import list_known_items
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.spec.raw_step import accepts_secret
from rolerunner.spec.step_order import STATUS
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolerunner.spec.document import Path
    from rolerunner.spec.expressions import Expression
    from rolerunner.spec.grammar import Reference
    from rolerunner.spec.raw_step import RawStep
    from rolerunner.spec.reader import SpecReader

_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}
_OUTPUT_DEPTH = 3
"""Names in ``steps.ID.OUTPUT``; one more for a step inside a group."""


def check_secret_outputs(step: RawStep, reader: SpecReader) -> None:
    """Reports names in ``secret_outputs`` that are not outputs, or cannot be secrets."""
    path = (*step.path, "secret_outputs")
    if isinstance(getattr(step.common, "secret_outputs", None), Template):
        reader.add(path, "'secret_outputs' must be a list of names; it cannot be an expression")
    if step.schema is None:
        return
    outputs = step.schema.outputs
    for index, name in enumerate(step.secret_outputs):
        if outputs is not None and name not in outputs:
            hint = suggest_name(name, outputs) or f"it has {', '.join(outputs)}"
            reader.add((*path, index), f"{step.schema.kind} has no output '{name}'", hint)
        elif not isinstance(step.schema.samples.get(name, ""), (str, int, float, list, dict)):
            reader.add((*path, index), f"'{name}' is a list of objects, which cannot be a secret")


@dataclass(frozen=True)
class ReferenceChecker:
    """Checks the references between steps; mistakes are added to the reader.

    The steps of a group have a checker of their own, which also knows the steps around the group.
    """

    steps: Sequence[RawStep]
    reader: SpecReader
    _by_id: Mapping[str, tuple[int, RawStep]]
    """Id -> position and step; the first step if an id is repeated."""
    _items: dict[Path, Optional[list[Any]]] = field(default_factory=dict)
    """Place of items -> the items, where they are known."""

    @classmethod
    def of(cls, steps: Sequence[RawStep], reader: SpecReader) -> ReferenceChecker:
        """Returns a checker of these steps."""
        by_id = {step.id: (index, step) for index, step in reversed(list(enumerate(steps)))}
        return cls(steps, reader, by_id)

    def enter_group(self, position: int) -> ReferenceChecker:
        """Returns a checker of a group's steps, which stand in front of the group itself."""
        if not self.steps[position].steps:
            return self
        steps = [*self.steps[:position], *self.steps[position].steps, *self.steps[position:]]
        return ReferenceChecker.of(steps, self.reader)

    def collect_references(self, position: int) -> frozenset[str]:
        """Returns the full ids of the steps that a step reads from."""
        step, found = self.steps[position], set()
        for path, template, expression, reference in _iter_references(step):
            if reference.path[0] != "item":
                message, hint = self._find_mistake(reference, position)
            elif path[len(step.path) :] in step.role_templates:
                continue  # its mistakes are reported with the roles
            else:
                message, hint = self._find_item_mistake(step, expression, reference)
            if message:
                mark = self.reader.mark_reference(path, template.text, expression, reference)
                self.reader.add_at(mark, message, hint)
            elif reference.path[0] == "steps":
                found.add(self._by_id[reference.path[1]][1].full_id)
                inside = path[len(step.path) :]
                if self._is_secret_output(reference) and not accepts_secret(step.schema, inside):
                    self.reader.refuse_secret(path, template.text, expression, reference)
        return frozenset(found)

    def list_read_outputs(self) -> dict[str, tuple[str, ...]]:
        """Returns full id -> outputs that are read, of steps with items whose actions name none."""
        found: dict[str, dict[str, None]] = {}
        for reader in (each for step in self.steps for each in (step, *step.steps)):
            for *_, reference in _iter_references(reader):
                if len(reference.path) < _OUTPUT_DEPTH or reference.path[0] != "steps":
                    continue
                step, output = self._find_step(reference)
                if (
                    step is not None
                    and step.has_unnamed_lists
                    and output[:1] not in ((), (STATUS,))
                ):
                    found.setdefault(step.full_id, {})[output[0]] = None
        return {full_id: tuple(names) for full_id, names in found.items()}

    def check_output_types(self, position: int) -> None:
        """Reports fields that are another step's output, but do not accept its type."""
        step = self.steps[position]
        if step.schema is None or step.loop is not None:
            return
        samples = dict(self._iter_samples(position))
        if not samples:
            return
        fields = {**self.reader.fill_known(dict(step.fields), step.path), **samples}
        try:
            step.schema.model_validate(fields, context=self.reader.context)
        except ValidationError as error:
            self._report_types(step, samples, error)

    def _report_types(
        self, step: RawStep, samples: Mapping[str, Any], error: ValidationError
    ) -> None:
        details = error.errors(include_url=False)
        for detail in details:
            conflict = detail.get("ctx", {}).get("error")
            if isinstance(conflict, FieldConflictError):
                self.reader.add(step.path, str(conflict), conflict.hint)
        wrong = dict.fromkeys(
            str(detail["loc"][0])
            for detail in details
            if detail["loc"] and not _is_wrong_choice(detail)
        )
        for key in (key for key in wrong if key in samples):
            kind = _TYPE_NAMES.get(type(samples[key]), "a list of objects")
            message = f"'{key}' cannot be {step.fields[key]}, which is {kind}"
            self.reader.add((*step.path, key), message)

    def _iter_samples(self, position: int) -> Iterator[tuple[str, Any]]:
        for key, value in self.steps[position].fields.items():
            sample = self._find_sample(value, position) if isinstance(value, Template) else None
            if sample is not None:
                yield key, sample

    def _find_sample(self, template: Template, position: int) -> Any:
        """Returns a value like the output that the template reads; None if it is not known."""
        name = template.name
        if name is None or len(name.path) < _OUTPUT_DEPTH or name.path[0] != "steps":
            return None
        other_position, _ = self._by_id.get(name.path[1], (position, None))
        other, output = self._find_step(name)
        if other_position >= position or len(output) != 1 or other is None or other.schema is None:
            return None
        fields = self.reader.fill_known(dict(other.fields), other.path)
        sample = other.schema.sample(output[0], fields)
        is_list = other.loop is not None or name.path[1] != other.id
        return [sample] if sample is not None and is_list else sample

    def _find_step(self, reference: Reference) -> tuple[Optional[RawStep], tuple[str, ...]]:
        """Returns the step that has the output, in a group the one inside it, and the output."""
        _, name, *output = reference.path
        _, step = self._by_id.get(name, (0, None))
        if step is not None and step.is_group:
            step = next((each for each in step.steps if [each.id] == output[:1]), None)
            output = output[1:]
        return step, tuple(output)

    def _is_secret_output(self, reference: Reference) -> bool:
        """Returns True if the output is known to be a secret."""
        other, output = self._find_step(reference)
        if other is None or other.schema is None or output == (STATUS,):
            return False
        if output[0] in other.secret_outputs:
            return True
        return other.schema.is_secret_output(other.fields, output)

    def _find_mistake(self, reference: Reference, position: int) -> tuple[str, str]:
        """Returns the message and the hint for a wrong reference; empty texts for a right one."""
        head, *names = reference.path
        if head != "steps" or not names:
            return "", ""
        name, output = names[0], names[1] if len(names) > 1 else ""
        if name not in self._by_id:
            hint = self._find_in_groups(name) or suggest_name(name, self._by_id)
            return f"there is no step '{name}'", hint
        other_position, other = self._by_id[name]
        if other_position >= position:
            return f"the step '{name}' does not run before this one", ""
        if other.is_group:
            return _find_group_mistake(names[1:], other)
        return _find_output_mistake(f"steps.{name}", output, other)

    def _find_item_mistake(
        self, step: RawStep, expression: Expression, reference: Reference
    ) -> tuple[str, str]:
        from rolerunner.spec.item_references import find_item_mistake  # noqa: PLC0415 - few steps have items

        if step.items_path not in self._items:
            self._items[step.items_path] = list_known_items(step, self.reader)
        return find_item_mistake(step, self._items[step.items_path], expression, reference)

    def _find_in_groups(self, name: str) -> str:
        """Returns the hint for the id of a step that is inside a group."""
        for group in self.steps:
            for step in group.steps:
                if step.id == name:
                    return f"it is inside the group '{group.id}': write steps.{group.id}.{name}"
        return ""


def _iter_references(
    step: RawStep,
) -> Iterator[tuple[Path, Template, Expression, Reference]]:
    places = [((*step.path, *path), template) for path, template in step.role_templates.items()]
    for values in (step.fields, step.deferred):
        places += iter_templates(dict(values), step.path)
    for path, template in places:
        for expression in template.expressions:
            for reference in expression.references:
                yield path, template, expression, reference


def _is_wrong_choice(detail: Mapping[str, Any]) -> bool:
    """Returns True if the sample's text is just not one of the choices: the output's may be."""
    return detail["type"] == "literal_error" and isinstance(detail["input"], str)


def _find_group_mistake(names: Sequence[str], group: RawStep) -> tuple[str, str]:
    known = [*(step.id for step in group.steps), STATUS]
    if not names:
        return f"'steps.{group.id}' needs a step of the group after it", _list_known(known)
    if names[0] not in known:
        hint = suggest_name(names[0], known) or _list_known(known)
        return f"the group '{group.id}' has no step '{names[0]}'", hint
    if names[0] == STATUS:
        return "", ""
    step = next(each for each in group.steps if each.id == names[0])
    output = names[1] if len(names) > 1 else ""
    return _find_output_mistake(f"steps.{group.id}.{step.id}", output, step)


def _list_known(names: Sequence[str]) -> str:
    return f"known: {', '.join(names)}"


def _find_output_mistake(name: str, output: str, step: RawStep) -> tuple[str, str]:
    outputs = step.schema.outputs if step.schema else None
    if not output:
        example = next(iter(outputs or {}), "NAME")
        return f"'{name}' needs an output after it, as in {name}.{example}", ""
    if outputs is None or output in (*outputs, STATUS):
        return "", ""
    known = (*outputs, STATUS)
    hint = suggest_name(output, known) or f"{step.data['action']} has {', '.join(known)}"
    return f"the step '{step.id}' has no output '{output}'", hint
