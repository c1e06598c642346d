"""Parses the steps of a spec: each one on its own, then all of them together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.model import GROUP, Retry, Step
from rolerunner.spec.expressions import Template
from rolerunner.spec.item_roles import check_declared_roles
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.spec.raw_step import RawStep, parse_raw_steps
from rolerunner.spec.step_fields import GroupFields, StepFields
from rolerunner.spec.step_order import check_ids, resolve_needs
from rolerunner.spec.step_references import ReferenceChecker, check_secret_outputs
from rolerunner.spec.step_roles import (
    check_permissions,
    check_roles,
    find_role_choices,
    find_roles,
    list_permissions,
)
from rolerunner.step_ids import inner_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.spec.action_schema import ActionSchema
    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.roles import Roles
    from rolerunner.spec.step_fields import Defaults, RetryFields


def parse_steps(
    values: Sequence[Any],
    actions: Mapping[str, type[ActionSchema]],
    roles: Roles,
    defaults: Defaults,
    reader: SpecReader,
) -> list[Step]:
    """Returns the steps, which are usable only if the reader has no problems.

    ``values`` are the items of ``steps``; ``actions`` maps names to schemas.
    """
    raw = parse_raw_steps(values, actions, reader)
    for step in (each for top in raw for each in (top, *top.steps)):
        check_roles(step, roles, defaults, reader)
        check_declared_roles(step, roles, reader)
        check_permissions(step, reader)
        check_secret_outputs(step, reader)
    if defaults.role is not None:
        roles.check(defaults.role, ("defaults", "role"), reader)
    check_ids(raw, reader)
    return _Linker(roles, defaults, reader).link(raw)


class _Linker:
    """Finds which steps read from and wait for which, and builds their values."""

    def __init__(self, roles: Roles, defaults: Defaults, reader: SpecReader) -> None:
        self._reader = reader
        self._builder = _StepBuilder(roles, defaults, reader)

    def link(self, raw: Sequence[RawStep]) -> list[Step]:
        checker = ReferenceChecker.of(raw, self._reader)
        inner = [
            self._link_group(step, checker.enter_group(position), position)
            for position, step in enumerate(raw)
        ]
        references = [
            checker.collect_references(position) | _find_outside_references(steps)
            for position, steps in enumerate(inner)
        ]
        for position in range(len(raw)):
            checker.check_output_types(position)
        needs = resolve_needs(raw, references, self._reader)
        read = checker.list_read_outputs()
        return [
            _name_read_outputs(self._builder.build(step, named, needs[step.id], steps), read)
            for step, named, steps in zip(raw, references, inner)
        ]

    def _link_group(
        self, group: RawStep, checker: ReferenceChecker, before: int
    ) -> tuple[Step, ...]:
        """Returns the steps of a group. ``before`` is the number of steps in front of it."""
        positions = range(before, before + len(group.steps))
        references = [checker.collect_references(position) for position in positions]
        for position in positions:
            checker.check_output_types(position)
        ids = {step.full_id: step.id for step in group.steps}
        inside = [frozenset(ids[each] for each in read if each in ids) for read in references]
        needs = resolve_needs(group.steps, inside, self._reader)
        return tuple(
            self._builder.build(
                step, read, tuple(inner_id(group.id, name) for name in needs[step.id])
            )
            for step, read in zip(group.steps, references)
        )


def _find_outside_references(steps: Sequence[Step]) -> frozenset[str]:
    """Returns the steps outside of a group that its steps read from."""
    inside = {step.id for step in steps}
    return frozenset(each for step in steps for each in step.references if each not in inside)


def _name_read_outputs(step: Step, read: Mapping[str, tuple[str, ...]]) -> Step:
    """Returns the step or group with the outputs that other steps read."""
    if not read:
        return step
    inner = tuple(_name_read_outputs(each, read) for each in step.steps)
    return replace(step, steps=inner, read_outputs=read.get(step.id, ()))


class _StepBuilder:
    """Builds the values of steps."""

    def __init__(self, roles: Roles, defaults: Defaults, reader: SpecReader) -> None:
        self._roles = roles
        self._defaults = defaults
        self._reader = reader
        self._document = reader.document

    def build(
        self,
        step: RawStep,
        references: frozenset[str],
        needs: tuple[str, ...],
        inner: tuple[Step, ...] = (),
    ) -> Step:
        """Returns the step; ``inner`` are the steps of a group."""
        common = step.common
        built = Step(
            id=step.full_id,
            action=GROUP,
            fields=step.fields,
            needs=needs,
            references=references,
            when=common.when,
            for_each=None if step.group is not None else step.items,
            max_parallel=step.loop.get("max_parallel", 0) if isinstance(step.loop, dict) else 0,
            on_error=common.on_error or self._defaults.on_error,
            description=common.description,
            mark=self._document.mark(step.path),
        )
        if isinstance(common, GroupFields):
            return _complete_group(built, common, inner)
        return self._complete_step(built, step, common)

    def _complete_step(self, built: Step, step: RawStep, common: StepFields) -> Step:
        defaults = self._defaults
        retry = None if isinstance(common.retry, Template) else common.retry or defaults.retry
        timeout = common.timeout if common.timeout is not None else defaults.timeout
        return replace(
            built,
            action=common.action,
            roles=find_roles(step, self._roles, defaults),
            role_choices=find_role_choices(step, self._roles, defaults, self._reader),
            retry=_build_retry(retry),
            timeout=_to_seconds(timeout),
            attempt_timeout=_to_seconds(retry.timeout) if retry else None,
            permissions=list_permissions(step),
            secret_outputs=step.secret_outputs,
        )


def _complete_group(built: Step, common: GroupFields, inner: tuple[Step, ...]) -> Step:
    return replace(
        built,
        max_parallel=common.max_parallel or built.max_parallel,
        max_failures=0 if isinstance(common.max_failures, Template) else common.max_failures,
        timeout=_to_seconds(common.timeout),
        steps=inner,
    )


def _build_retry(retry: Optional[RetryFields]) -> Retry:
    if retry is None:
        return Retry()
    values = (retry.attempts, retry.delay, retry.backoff, retry.max_delay)
    return Retry() if any(iter_templates(list(values))) else Retry(*values)


def _to_seconds(value: Any) -> Optional[float]:
    return None if value is None or isinstance(value, Template) else float(value)
