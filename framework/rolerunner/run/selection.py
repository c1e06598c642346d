"""The steps that a run does: all, or those that ``--only`` and ``--from`` name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from rolerunner.errors import UsageError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.nested_templates import fill_templates
from rolerunner.spec.values import suggest_name
from rolerunner.step_ids import StepId, label_items, label_position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rolerunner.model import Job, Step

_NAMED = 10
"""Names that a hint lists."""


@dataclass(frozen=True)
class Selection:
    """The selected steps; empty: all of them."""

    ids: tuple[StepId, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> Selection:
        """Parses the names of steps, groups, items and steps inside groups. Raises UsageError."""
        try:
            return cls(tuple(sorted(map(StepId.parse, names), key=str)))
        except ValueError as error:
            raise UsageError(str(error)) from None

    @property
    def is_partial(self) -> bool:
        """True if only some steps are selected."""
        return bool(self.ids)

    def has_step(self, *names: str) -> bool:
        """Returns True if a step is selected; an item's step has two names."""
        if not self.ids:
            return True
        known = [StepId.parse(name) for name in names]
        return any(selected.covers(each) for selected in self.ids for each in known)

    def has_part_of(self, name: str) -> bool:
        """Returns True if a step, or any part of a group or of one of its steps, is selected."""
        known = StepId.parse(name)
        return not self.ids or any(selected.overlaps(known) for selected in self.ids)

    def list_items(self, group: str) -> list[str]:
        """Returns the items of a group that the selection names."""
        return [each.item for each in self.ids if each.step == group and each.item]


def find_name_mistake(job: Job, text: str) -> tuple[str, str]:
    """Returns what is wrong with the name of a step, and a hint; empty texts for a right one."""
    try:
        name = StepId.parse(text)
    except ValueError as error:
        return str(error), ""
    steps = {step.id: step for step in job.steps}
    step = steps.get(name.step)
    if step is None:
        return f"there is no step '{name.step}'", _suggest(name.step, list(steps))
    if not step.steps:
        inside = name.item or name.inner
        return (f"'{name.step}' is a step, not a group of steps", "") if inside else ("", "")
    inner = [each.id.partition(".")[2] for each in step.steps]
    if name.inner and name.inner not in inner:
        return f"the group '{step.id}' has no step '{name.inner}'", _suggest(name.inner, inner)
    return (
        find_item_mistake(step, name.item, _list_known_labels(step, job)) if name.item else ("", "")
    )


def find_item_mistake(group: Step, label: str, labels: Optional[Sequence[str]]) -> tuple[str, str]:
    """Returns what is wrong with the label of an item; None stands for labels not known yet."""
    if labels is None or label in labels:
        return "", ""
    if label in map(label_position, range(len(labels))):
        return "", ""
    return f"the group '{group.id}' has no item '{label}'", _suggest(label, labels)


def _suggest(name: str, known: Sequence[str]) -> str:
    more = ", ..." if len(known) > _NAMED else ""
    return suggest_name(name, known) or f"known: {', '.join(known[:_NAMED]) or 'none'}{more}"


def _list_known_labels(group: Step, job: Job) -> Optional[list[str]]:
    """Returns the labels of the items; None if they are known only during the run."""
    try:
        items = fill_templates(group.for_each, {"params": job.params})
    except ExpressionError:
        return None
    return label_items(items) if isinstance(items, list) else None
