"""Plans a step: its fields, roles and permissions, item by item where the items are known."""

from __future__ import annotations

from dataclasses import field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rolerunner.actions.objects_from import ObjectsFrom
from rolerunner.actions.permissions import source_permissions
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Job, Permission, PlannedStep, Role, Step, StepDatasets
from rolerunner.plan.partial_values import (
    UNKNOWN_PERMISSIONS,
    PartialValues,
    fill_known,
    fill_partly,
)
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.step_ids import label_items, local_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolerunner.actions.base import Action
    from rolerunner.model import DeclaredPermission, SecretSource

MAX_ITEMS = 50
"""Maximum number of for_each items with permissions of their own.

The permissions of more items are derived together, with ``*`` for the item.
"""
_ALL_RESOURCES = frozenset({"*", "arn:aws:s3:::*", "arn:aws:s3:::*/*"})
_UNKNOWN_ITEM: tuple[dict[str, Any], str] = ({}, "")
"""The scope and the label of an item that is not known before the run."""


def plan_step(
    step: Step, job: Job, actions: Mapping[str, type[Action]], predicted: dict[tuple[str, ...], Any]
) -> list[PlannedStep]:
    """Returns what is known of a step, or of the steps of a group; once for each role of its items.

    ``predicted`` has values like the outputs of earlier steps, such as the prefix of listed
    objects; those of a step without items are added.
    """
    scope = {"params": job.params, "run": {"name": job.name}}
    fetched = frozenset(each.param for each in list_fetched_secrets(job))
    planner = _StepPlanner(
        step.steps or (step,), scope, actions, fetched, keeps_state=job.state is not None
    )
    for item, label in list_item_scopes(step, scope):
        outputs = planner.plan_item(item, label, predicted)
    if step.for_each is None:
        predicted.update(outputs)
    return list(planner.list_planned())


@dataclass
class _Variant:
    """A step under the roles that some of its items choose."""

    step: Step
    needed: dict[str, dict[Permission, None]]
    notes: dict[str, None] = field(default_factory=dict)
    items: list[str] = field(default_factory=list)
    """Labels of the items that choose these roles."""
    scopes: list[Mapping[str, Any]] = field(default_factory=list)
    """Scopes of all known items."""
    datasets: dict[StepDatasets, None] = field(default_factory=dict)


class _StepPlanner:
    """Plans steps for one item after the other."""

    def __init__(
        self,
        steps: Sequence[Step],
        scope: Mapping[str, Any],
        actions: Mapping[str, type[Action]],
        fetched: frozenset[str],
        *,
        keeps_state: bool,
    ) -> None:
        self._keeps_state = keeps_state
        self._scope = scope
        self._fetched = fetched
        self._actions = actions
        self._fields = {
            step.id: {
                key: fill_known(value, {"params": scope["params"]})
                for key, value in step.fields.items()
            }
            for step in steps
        }
        self._variants: dict[str, dict[tuple[str, ...], _Variant]] = {step.id: {} for step in steps}
        self._steps = steps

    def plan_item(
        self, item: Mapping[str, Any], label: str, predicted: Mapping[tuple[str, ...], Any]
    ) -> dict[tuple[str, ...], Any]:
        """Adds what the steps need for an item. Returns values like their outputs."""
        scope = {**self._scope, **item}
        outputs: dict[tuple[str, ...], Any] = {}
        for step in self._steps:
            for roles in _list_role_sets(step, scope):
                variant = self._find_variant(step, roles)
                variant.items += [label] if label and step.role_choices else []
                variant.scopes += [item] if label else []
                values = PartialValues(scope, {**predicted, **outputs}, self._fetched)
                action = self._add_needs(variant, values)
            name = local_name(step.id)
            found = {} if action is None else _predict_outputs(action)
            outputs.update({("steps", name, key): value for key, value in found.items()})
        return outputs

    def list_planned(self) -> Iterator[PlannedStep]:
        """Yields the steps in their order, each under all its roles."""
        for step in self._steps:
            for variant in self._variants[step.id].values():
                if variant.step.roles and not any(variant.needed.values()):
                    variant.notes[UNKNOWN_PERMISSIONS] = None
                needed = {name: tuple(each) for name, each in variant.needed.items()}
                yield PlannedStep(
                    variant.step,
                    self._fill_fields(step, variant),
                    needed,
                    tuple(variant.notes),
                    tuple(variant.items),
                    tuple(each for each in variant.datasets if each != StepDatasets()),
                )

    def _fill_fields(self, step: Step, variant: _Variant) -> Mapping[str, Any]:
        """Returns the fields with all that is known: also the item, if it is a single one."""
        item = variant.scopes[0] if len(variant.scopes) == 1 else {}
        scope = {"params": self._scope["params"], **item}
        return {key: fill_partly(value, scope) for key, value in step.fields.items()}

    def _find_variant(self, step: Step, roles: Mapping[str, Role]) -> _Variant:
        variants, names = self._variants[step.id], tuple(map(str, roles.values()))
        if names not in variants:
            bound = replace(step, roles=roles, role_choices={}) if step.role_choices else step
            variants[names] = _Variant(bound, {name: {} for name in roles})
            for key in (key for key in step.role_choices if key not in roles):
                note = (
                    f"{key}: {step.role_choices[key].alias} depends on params without a value;"
                    " set them, or list the roles under 'roles'"
                )
                variants[names].notes[note] = None
        return variants[names]

    def _add_needs(self, variant: _Variant, values: PartialValues) -> Any:
        """Adds the permissions of a step for an item. Returns the action; None if it is unknown."""
        step = variant.step
        action = values.build_action(self._actions[step.action], self._fields[step.id])
        if action is not None:
            action, listed = _predict_objects(action, values)
            derived = _derive_permissions(action, values)
            variant.datasets[_list_datasets(action)] = None
            for name, permissions in (*derived.items(), *listed.items()):
                needed = variant.needed.setdefault(name, {})
                needed.update((each, None) for each in permissions)
                if self._keeps_state and action.resumes_uploads:
                    needed.update((each, None) for each in _list_parts_of_aborted(permissions))
        for declared in step.permissions:
            _add_declared(declared, values, variant.needed)
        variant.notes.update((each, None) for each in values.notes)
        return action


def list_fetched_secrets(job: Job) -> list[SecretSource]:
    """Returns the sources of the secret params whose values are not given."""
    return [source for source in job.secret_sources if source.param not in job.params]


def list_item_scopes(step: Step, scope: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Returns scope and label of each known item of for_each; else one without an item."""
    items = fill_known(step.for_each, scope)
    if isinstance(items, list) and 0 < len(items) <= MAX_ITEMS and not any(iter_templates(items)):
        return [({"item": item}, label) for item, label in zip(items, label_items(items))]
    return [_UNKNOWN_ITEM]


def _list_role_sets(step: Step, scope: Mapping[str, Any]) -> list[dict[str, Role]]:
    """Returns the roles under which a step runs for an item: the roles that it chooses.

    For an unknown item each role that it may choose is in one of several sets.
    """
    if not step.role_choices:
        return [dict(step.roles)]
    choices = step.role_choices
    if "item" not in scope:
        columns = [
            [(name, role) for role in each.options.values()] for name, each in choices.items()
        ]
        rows = zip_longest(*columns)
        chosen = [dict(pair for pair in row if pair is not None) for row in rows] or [{}]
        return [{**step.roles, **chosen[0], **each} for each in chosen]
    aliases = {name: fill_known(each.alias, scope) for name, each in choices.items()}
    found = {name: choices[name].options.get(str(alias)) for name, alias in aliases.items()}
    return [{**step.roles, **{name: role for name, role in found.items() if role is not None}}]


def _predict_objects(
    action: Action, partial_values: PartialValues
) -> tuple[Action, Mapping[str, Sequence[Permission]]]:
    """Returns the action with a list that stands for that of a file, and what reading it needs."""
    listing = getattr(action, "objects", None)
    if not isinstance(listing, ObjectsFrom):
        return action, {}
    if listing.prefix is None:
        partial_values.notes.append(
            "objects: the listed objects are known only during the run; permissions are for all;"
            " set 'prefix' to narrow them"
        )
    objects = listing.predict()
    needed = {"objects.role": listing.permissions()}
    if objects.is_bare and action.looks_up_objects:
        looked_up = replace(objects, versions=False)
        needed[action.role_fields[0]] = source_permissions("s3:GetObject", None, looked_up)
    return action.model_copy(update={"objects": objects}), needed


def _derive_permissions(
    action: Action, partial_values: PartialValues
) -> Mapping[str, Sequence[Permission]]:
    """Returns the action's permissions; none, with a note, if its code fails.

    The action may be that of another package.
    """
    try:
        return {name: list(each) for name, each in action.permissions().items()}
    except Exception as error:  # noqa: BLE001
        partial_values.note_failure(error)
        return {}


def _list_datasets(action: Action) -> StepDatasets:
    try:
        return action.list_datasets()
    except Exception:  # noqa: BLE001 - as above; lineage then has less
        return StepDatasets()


def _list_parts_of_aborted(permissions: Sequence[Permission]) -> Iterator[Permission]:
    """Yields the permissions to list the parts of uploads that may be aborted."""
    for each in permissions:
        if each.action == "s3:AbortMultipartUpload":
            yield replace(each, action="s3:ListMultipartUploadParts")


def _predict_outputs(action: Action) -> Mapping[str, Any]:
    try:
        return dict(action.predict_outputs())
    except Exception:  # noqa: BLE001 - as above; later steps then know less
        return {}


def _add_declared(
    declared: DeclaredPermission,
    partial_values: PartialValues,
    needed: dict[str, dict[Permission, None]],
) -> None:
    """Adds a declared permission, which replaces those of the same action on all resources."""
    for name in [declared.role_field] if declared.role_field else list(needed):
        for action in declared.actions:
            for wide in [
                each
                for each in needed[name]
                if each.action == action and each.resource in _ALL_RESOURCES
            ]:
                del needed[name][wide]
            for resource in declared.resources:
                needed[name][
                    Permission(
                        action,
                        partial_values.widen_text("permissions", resource),
                        declared.condition,
                        "said",
                    )
                ] = None
