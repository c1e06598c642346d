"""The steps of a spec: each looked at on its own, then held against the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Optional

from pydantic import ValidationError

from rolerunner.model import DeclaredPermission, Retry, Role, Step
from rolerunner.spec import checking
from rolerunner.spec.expressions import Template
from rolerunner.spec.kinds import FieldConflictError
from rolerunner.spec.misnomers import suggest_field
from rolerunner.spec.reading import BROKEN_EXPRESSION, ITEM_NAMES, iter_templates
from rolerunner.spec.schema import Defaults, RetryFields, StepFields
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.spec.document import Path
    from rolerunner.spec.grammar import Reference
    from rolerunner.spec.kinds import ActionSchema
    from rolerunner.spec.reading import SpecReader
    from rolerunner.spec.roles import Roles

STATUS = "status"
"""``steps.ID.status``, which every step has besides the outputs of its action."""
_SCOPES = ("params", "run", "steps")
_LATE = ("when", "for_each", "permissions")
"""Common fields that are worked out when the step starts, not when the spec is loaded."""


@dataclass(frozen=True)
class RawStep:
    """A step that has been looked at on its own."""

    path: Path
    said: Mapping[str, Any]
    common: StepFields
    kind: Optional[type[ActionSchema]]
    """None for an unknown action."""
    fields: Mapping[str, Any]
    """The action's own fields, with templates."""
    late: Mapping[str, Any] = field(default_factory=dict)
    """when, for_each and permissions, with templates."""

    @property
    def id(self) -> str:
        """The step's id."""
        return self.common.id

    @property
    def secret_outputs(self) -> tuple[str, ...]:
        """The outputs that it declares to be secrets; none where that is wrong."""
        return (
            ()
            if isinstance(self.common.secret_outputs, Template)
            else tuple(self.common.secret_outputs)
        )


def read_steps(
    values: list[Any],
    kinds: Mapping[str, type[ActionSchema]],
    roles: Roles,
    defaults: Defaults,
    reading: SpecReader,
) -> list[Step]:
    """Read the steps. Mistakes are gathered; what is given back is to be used only where there are none."""
    raw = [
        step
        for index, value in enumerate(values)
        for step in _raw(("steps", index), value, kinds, reading)
    ]
    for step in raw:
        _check_roles(step, roles, defaults, reading)
        _check_permissions(step, reading)
        _check_secret_outputs(step, reading)
    if defaults.role is not None:
        roles.check(defaults.role, ("defaults", "role"), reading)
    _check_ids(raw, reading)
    by_id = {step.id: (position, step) for position, step in reversed(list(enumerate(raw)))}
    references = [_references(position, step, by_id, reading) for position, step in enumerate(raw)]
    for position, step in enumerate(raw):
        _check_types(step, by_id, position, reading)
    needs = _needs(raw, references, reading)
    steps = [
        _step(step, found, needs[step.id], roles, defaults, reading)
        for step, found in zip(raw, references)
    ]
    _check_together(raw, steps, reading)
    return steps


def _raw(
    path: Path, value: Any, kinds: Mapping[str, type[ActionSchema]], reading: SpecReader
) -> Iterator[RawStep]:
    if not isinstance(value, dict):
        reading.add(
            path,
            f"a step is a mapping with 'id' and 'action', not {checking.describe_value(value)}",
        )
        return
    kind = _kind(value, kinds, path, reading)
    role_fields = kind.role_fields if kind else ()
    common_said = {key: each for key, each in value.items() if key in StepFields.model_fields}
    own_said = {
        key: each
        for key, each in value.items()
        if key not in common_said and key not in role_fields
    }
    scopes = (*_SCOPES, "item") if value.get("for_each") is not None else _SCOPES
    reading = replace(reading, takes_secret=lambda place: _takes_secret(kind, place[len(path) :]))
    late = {
        key: reading.with_templates(
            value[key], (*path, key), scopes if key == "permissions" else _SCOPES
        )
        for key in _LATE
        if key in value
    }
    for key, template in late.items():
        if (
            isinstance(template, Template)
            and template.whole is None
            and BROKEN_EXPRESSION not in template.parts
        ):
            reading.add((*path, key), f"'{key}' must be one expression and nothing around it")
    common = _common(common_said, late, path, reading)
    content = kind.content_fields if kind else ()
    fields = {
        key: reading.with_templates(each, (*path, key), scopes, content=key in content)
        for key, each in own_said.items()
    }
    if kind is not None:
        more = (*checking.list_keys(StepFields), *role_fields)
        reading.validated(kind, reading.filled(fields, path), path, more)
    elif "action" not in value:
        _check_foreign_keys(own_said, path, reading)
    if common is not None:
        yield RawStep(path, value, common, kind, fields, late)


def _check_foreign_keys(said: Mapping[str, Any], path: Path, reading: SpecReader) -> None:
    """Keys of another tool's steps, in a step whose action is not known: others may be the action's own."""
    for key in said:
        hint = suggest_field(key, StepFields, checking.list_keys(StepFields))
        if hint:
            reading.add((*path, key), f"unknown key '{key}'", hint, key=True)


def _common(
    said: Mapping[str, Any], late: Mapping[str, Any], path: Path, reading: SpecReader
) -> Optional[StepFields]:
    early = {key: value for key, value in said.items() if key not in _LATE}
    read = {
        key: reading.with_templates(value, (*path, key), ("params",), content=key == "description")
        for key, value in early.items()
    }
    filled = reading.filled(read, path)
    common = reading.validated(StepFields, {**filled, **late}, path)
    if common is not None:
        return common
    try:  # enough to look for its other mistakes
        return StepFields.model_validate(
            {key: said[key] for key in ("id", "action") if key in said}
        )
    except ValidationError:
        return None


def _kind(
    value: Mapping[str, Any],
    kinds: Mapping[str, type[ActionSchema]],
    path: Path,
    reading: SpecReader,
) -> Optional[type[ActionSchema]]:
    action = value.get("action")
    if not isinstance(action, str):
        return None
    kind = kinds.get(action)
    if kind is None:
        hint = suggest_name(action, kinds) or f"known: {', '.join(sorted(kinds))}"
        reading.add((*path, "action"), f"unknown action '{action}'", hint)
    return kind


# roles


def _role_names(step: RawStep, defaults: Defaults) -> Iterator[tuple[str, str, Any]]:
    """Role field, the key that says it ("" for the defaults), and what it says."""
    for role_field in step.kind.role_fields if step.kind else ("role",):
        key = next((key for key in (role_field, "role") if step.said.get(key) is not None), "")
        yield role_field, key, step.said[key] if key else defaults.role


def _check_roles(step: RawStep, roles: Roles, defaults: Defaults, reading: SpecReader) -> None:
    for _, key, said in _role_names(step, defaults):
        if said is None:
            if step.kind is not None and step.kind.needs_role:
                hint = "say 'role: ALIAS', an ARN, or 'role: job' for the job's own role"
                reading.add(step.path, f"the step '{step.id}' has no role", hint)
        elif not isinstance(said, str):
            reading.add(
                (*step.path, key),
                f"'{key}' must be an alias, an ARN, or job, not {checking.describe_value(said)}",
            )
        elif key:
            roles.check(said, (*step.path, key), reading)


def _check_permissions(step: RawStep, reading: SpecReader) -> None:
    if isinstance(step.common.permissions, Template):
        reading.add(
            (*step.path, "permissions"),
            "'permissions' must be a list; what is in it may hold expressions",
        )
        return
    known = step.kind.role_fields if step.kind else ()
    for index, said in enumerate(step.common.permissions):
        for key in ("actions", "conditions", "role"):
            value = getattr(said, key)
            for place, _ in iter_templates(value, (*step.path, "permissions", index, key)):
                reading.add(place, f"'{key}' may not hold an expression; 'resources' may")
        if isinstance(said.role, str) and known and said.role not in known:
            hint = suggest_name(said.role, known) or f"{step.common.action} has {', '.join(known)}"
            reading.add(
                (*step.path, "permissions", index, "role"),
                f"'{said.role}' is no role of this action",
                hint,
            )


def _permissions(step: RawStep) -> tuple[DeclaredPermission, ...]:
    """What the step states; nothing where that is wrong."""
    if isinstance(step.common.permissions, Template) or any(
        iter_templates(
            [[each.actions, each.role, each.conditions] for each in step.common.permissions]
        )
    ):
        return ()
    return tuple(
        DeclaredPermission(
            tuple(each.actions), tuple(each.resources if isinstance(each.resources, list) else [each.resources]), role_field=each.role or "",
            condition=tuple((operator, key, tuple(values)) for operator, keys in each.conditions.items() for key, values in keys.items()),
        )
        for each in step.common.permissions
    )  # fmt: skip


def _step_roles(step: RawStep, roles: Roles, defaults: Defaults) -> dict[str, Role]:
    found = {
        name: roles.find(said)
        for name, _, said in _role_names(step, defaults)
        if isinstance(said, str)
    }
    return {name: role for name, role in found.items() if role is not None}


# references and needs


def _check_ids(raw: list[RawStep], reading: SpecReader) -> None:
    first: dict[str, RawStep] = {}
    for step in raw:
        other = first.setdefault(step.id, step)
        if other is not step:
            line = reading.document.mark((*other.path, "id")).line
            reading.add(
                (*step.path, "id"),
                f"the step id '{step.id}' is here twice",
                f"the first is on line {line}",
            )


def _references(
    position: int, step: RawStep, by_id: Mapping[str, tuple[int, RawStep]], reading: SpecReader
) -> frozenset[str]:
    """Ids of the steps it reads from, each held against what is there."""
    found: set[str] = set()
    for path, template in (
        *iter_templates(dict(step.fields), step.path),
        *iter_templates(dict(step.late), step.path),
    ):
        for expression in template.expressions:
            for reference in expression.references:
                message, hint = _mistake(reference, position, step, by_id)
                if message:
                    reading.add_at(
                        reading.mark_of(path, template.text, expression, reference), message, hint
                    )
                elif reference.path[0] == "steps":
                    found.add(reference.path[1])
                    if _is_secret_output(reference, by_id) and not _takes_secret(
                        step.kind, path[len(step.path) :]
                    ):
                        reading.refuse_secret(path, template.text, expression, reference)
    return frozenset(found)


def _is_secret_output(reference: Reference, by_id: Mapping[str, tuple[int, RawStep]]) -> bool:
    """Returns True if the output is known to be a secret."""
    _, other = by_id[reference.path[1]]
    output = reference.path[2:]
    if output == (STATUS,) or other.kind is None:
        return False
    return output[0] in other.secret_outputs or other.kind.is_secret_output(other.fields, output)


def _takes_secret(kind: Optional[type[ActionSchema]], inside: Path) -> bool:
    """Returns True if a secret may flow into this part of a step; ``when`` is true or false, and not shown."""
    if inside[0] in StepFields.model_fields:
        return inside[0] == "when"
    return kind is None or kind.takes_secret(inside)


def _check_secret_outputs(step: RawStep, reading: SpecReader) -> None:
    if isinstance(step.common.secret_outputs, Template):
        reading.add(
            (*step.path, "secret_outputs"),
            "'secret_outputs' must be a list of names; it takes no expression",
        )
    outputs = step.kind.outputs if step.kind is not None else None
    for index, name in enumerate(step.secret_outputs):
        path = (*step.path, "secret_outputs", index)
        if outputs is not None and name not in outputs:
            reading.add(
                path,
                f"{step.common.action} has no output '{name}'",
                suggest_name(name, outputs) or f"it has {', '.join(outputs)}",
            )
        elif step.kind is not None and not isinstance(
            step.kind.samples.get(name, ""), (str, int, float, list, dict)
        ):
            reading.add(path, f"'{name}' is a list of objects, which cannot be a secret")


def _mistake(
    reference: Reference, position: int, step: RawStep, by_id: Mapping[str, tuple[int, RawStep]]
) -> tuple[str, str]:
    if reference.path[0] == "item":
        return _item_mistake(reference, step)
    if reference.path[0] != "steps" or len(reference.path) == 1:
        return "", ""
    name, output = reference.path[1], reference.path[2] if len(reference.path) > 2 else ""  # noqa: PLR2004
    if name not in by_id:
        return f"there is no step '{name}'", suggest_name(name, by_id)
    other_position, other = by_id[name]
    if other_position >= position:
        return f"the step '{name}' does not run before this one", ""
    outputs = other.kind.outputs if other.kind else None
    if not output:
        return (
            f"'steps.{name}' needs an output after it, as in steps.{name}.{next(iter(outputs or {}), 'NAME')}",
            "",
        )
    if outputs is not None and output not in (*outputs, STATUS):
        known = (*outputs, STATUS)
        return f"the step '{name}' has no output '{output}'", suggest_name(
            output, known
        ) or f"{other.said['action']} has {', '.join(known)}"
    return "", ""


def _item_mistake(reference: Reference, step: RawStep) -> tuple[str, str]:
    loop = step.late.get("for_each")
    items = loop.get("items") if isinstance(loop, dict) else loop
    goes_through_objects = (
        isinstance(items, Template)
        and items.whole is not None
        and items.text.strip(" ${}").endswith(".objects")
    )
    part = reference.path[1] if len(reference.path) > 1 else ""
    if goes_through_objects and part and part not in ITEM_NAMES:
        return f"'item' of listed objects has no '{part}'", suggest_name(
            part, ITEM_NAMES
        ) or f"known: {', '.join(ITEM_NAMES)}"
    return "", ""


def _check_types(
    step: RawStep, by_id: Mapping[str, tuple[int, RawStep]], position: int, reading: SpecReader
) -> None:
    """Fields that take another step's output as it is: would a value of that kind do?"""
    if step.kind is None or step.late.get("for_each") is not None:
        return
    samples = {
        key: _sample(value, by_id, position, reading)
        for key, value in step.fields.items()
        if isinstance(value, Template)
    }
    known = {key: sample for key, sample in samples.items() if sample is not None}
    if not known:
        return
    try:
        step.kind.model_validate(
            {**reading.filled(dict(step.fields), step.path), **known}, context=reading.context
        )
    except ValidationError as error:
        details = [detail for detail in error.errors(include_url=False) if detail["loc"]]
        for misfit in (
            detail.get("ctx", {}).get("error") for detail in error.errors(include_url=False)
        ):
            if isinstance(misfit, FieldConflictError):
                reading.add(step.path, str(misfit), misfit.hint)
        for key in dict.fromkeys(
            detail["loc"][0]
            for detail in details
            if detail["type"] != "literal_error" or not isinstance(detail["input"], str)
        ):
            if key in known:
                reading.add(
                    (*step.path, str(key)),
                    f"'{key}' cannot be {step.fields[str(key)]}, which is {_kind_of(known[str(key)])}",
                )


def _kind_of(sample: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(sample), "a list of objects")


def _sample(
    template: Template, by_id: Mapping[str, tuple[int, RawStep]], position: int, reading: SpecReader
) -> Any:
    """A value such as the output that the template is; None where that is not known."""
    named = template.name
    if named is None or len(named.path) != 3:  # noqa: PLR2004
        return None
    head, name, output = named.path
    other = by_id.get(name)
    if head != "steps" or other is None or other[0] >= position or other[1].kind is None:
        return None
    sample = other[1].kind.sample(output, reading.filled(dict(other[1].fields), other[1].path))
    return [sample] if sample is not None and other[1].late.get("for_each") is not None else sample


def _needs(
    raw: list[RawStep], references: list[frozenset[str]], reading: SpecReader
) -> dict[str, tuple[str, ...]]:
    """Step -> the steps it waits for. Without ``needs``: the open ends of all that stand before, and so all of them."""
    waits: dict[str, tuple[str, ...]] = {}
    ends: list[str] = []
    for step, read in zip(raw, references):
        said = step.common.needs
        waits[step.id] = tuple(
            dict.fromkeys(
                (*(ends if said is None else _known_needs(step, raw, reading)), *sorted(read))
            )
        )
        ends = [*(end for end in ends if end not in waits[step.id]), step.id]
    if len(waits) < len(raw):  # an id is there twice, which is said already
        return waits
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        circle = error.args[1]
        last = next(step for step in reversed(raw) if step.id in circle)
        reading.add(
            (*last.path, "needs"), f"steps wait for each other in a circle: {' -> '.join(circle)}"
        )
    return waits


def _known_needs(step: RawStep, raw: list[RawStep], reading: SpecReader) -> list[str]:
    known = {other.id for other in raw}
    needs = step.common.needs or []
    if isinstance(needs, Template):
        reading.add((*step.path, "needs"), "'needs' must be a list of ids; it takes no expression")
        return []
    for index, name in enumerate(needs):
        if name == step.id:
            reading.add((*step.path, "needs", index), f"the step '{name}' cannot wait for itself")
        elif name not in known:
            reading.add(
                (*step.path, "needs", index),
                f"there is no step '{name}'",
                suggest_name(name, known),
            )
    return [name for name in needs if name in known and name != step.id]


def _check_together(raw: list[RawStep], steps: list[Step], reading: SpecReader) -> None:
    """What the kinds say of their steps, which only now have their roles."""
    paths = {step.id: step.path for step in reversed(raw)}
    for kind in dict.fromkeys(step.kind for step in raw if step.kind is not None):
        for step_id, message in kind.misfits(
            [step for step, read in zip(steps, raw) if read.kind is kind]
        ):
            reading.add(paths[step_id], message)


# the step


def _step(
    step: RawStep,
    references: frozenset[str],
    needs: tuple[str, ...],
    roles: Roles,
    defaults: Defaults,
    reading: SpecReader,
) -> Step:
    common = step.common
    retry = None if isinstance(common.retry, Template) else common.retry or defaults.retry
    loop = step.late.get("for_each")
    return Step(
        id=step.id, action=common.action, fields=step.fields, roles=_step_roles(step, roles, defaults),
        needs=needs, references=references, when=common.when, for_each=loop.get("items") if isinstance(loop, dict) else loop,
        max_parallel=loop.get("max_parallel", 0) if isinstance(loop, dict) else 0,
        retry=_retry(retry), timeout=_seconds(common.timeout if common.timeout is not None else defaults.timeout),
        attempt_timeout=_seconds(retry.timeout) if retry else None, on_error=common.on_error or defaults.on_error,
        description=common.description, permissions=_permissions(step), secret_outputs=step.secret_outputs,
        mark=reading.document.mark(step.path),
    )  # fmt: skip


def _retry(said: Optional[RetryFields]) -> Retry:
    if said is None or any(
        iter_templates([said.attempts, said.delay, said.backoff, said.max_delay])
    ):
        return Retry()
    return Retry(said.attempts, said.delay, said.backoff, said.max_delay)


def _seconds(value: Any) -> Optional[float]:
    return None if value is None or isinstance(value, Template) else float(value)
