"""Parses the steps of a spec: each one on its own, then all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from rolerunner.model import Retry, Step
from rolerunner.spec.expressions import Template
from rolerunner.spec.raw_step import RawStep, parse_raw_steps
from rolerunner.spec.reader import iter_templates
from rolerunner.spec.step_order import check_ids, resolve_needs
from rolerunner.spec.step_references import ReferenceChecker, check_secret_outputs
from rolerunner.spec.step_roles import (
    check_permissions,
    check_roles,
    find_roles,
    list_permissions,
)

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
    for step in raw:
        check_roles(step, roles, defaults, reader)
        check_permissions(step, reader)
        check_secret_outputs(step, reader)
    if defaults.role is not None:
        roles.check(defaults.role, ("defaults", "role"), reader)
    check_ids(raw, reader)
    checker = ReferenceChecker.of(raw, reader)
    references = [checker.collect_references(position) for position in range(len(raw))]
    for position in range(len(raw)):
        checker.check_output_types(position)
    needs = resolve_needs(raw, references, reader)
    builder = _StepBuilder(roles, defaults, reader)
    return [builder.build(step, read, needs[step.id]) for step, read in zip(raw, references)]


class _StepBuilder:
    """Builds the values of steps."""

    def __init__(self, roles: Roles, defaults: Defaults, reader: SpecReader) -> None:
        self._roles = roles
        self._defaults = defaults
        self._document = reader.document

    def build(self, step: RawStep, references: frozenset[str], needs: tuple[str, ...]) -> Step:
        common, defaults = step.common, self._defaults
        retry = None if isinstance(common.retry, Template) else common.retry or defaults.retry
        timeout = common.timeout if common.timeout is not None else defaults.timeout
        return Step(
            id=step.id,
            action=common.action,
            fields=step.fields,
            roles=find_roles(step, self._roles, defaults),
            needs=needs,
            references=references,
            when=common.when,
            for_each=step.items,
            max_parallel=step.loop.get("max_parallel", 0) if isinstance(step.loop, dict) else 0,
            retry=_build_retry(retry),
            timeout=_to_seconds(timeout),
            attempt_timeout=_to_seconds(retry.timeout) if retry else None,
            on_error=common.on_error or defaults.on_error,
            description=common.description,
            permissions=list_permissions(step),
            secret_outputs=step.secret_outputs,
            mark=self._document.mark(step.path),
        )


def _build_retry(retry: Optional[RetryFields]) -> Retry:
    if retry is None:
        return Retry()
    values = (retry.attempts, retry.delay, retry.backoff, retry.max_delay)
    return Retry() if any(iter_templates(list(values))) else Retry(*values)


def _to_seconds(value: Any) -> Optional[float]:
    return None if value is None or isinstance(value, Template) else float(value)
