"""The subject of an audit: the plan, and the files that it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolerunner.actions import registry
from rolerunner.errors import Problem
from rolerunner.model import RoleArn
from rolerunner.step_ids import inner_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.actions.base import Action
    from rolerunner.model import Permission, Plan, PlannedStep, Role
    from rolerunner.spec.document import Document
    from rolerunner.spec.document import Path as Place


@dataclass(frozen=True)
class AuditSubject:
    """A plan and its documents, the spec first."""

    plan: Plan
    documents: tuple[Document, ...]
    job_account: str = ""

    @property
    def spec(self) -> Document:
        """The document of the spec."""
        return self.documents[0]

    def locate_step(self, planned: PlannedStep, message: str, hint: str, *fields: str) -> Problem:
        """Returns a problem at the first of the fields that the step has, or at the step."""
        place = self._find_places()[planned.step.id]
        field = next(
            ((*place, name) for name in fields if self.spec.holds((*place, name))), (*place, "id")
        )
        return self.spec.problem(field, message, hint, key=True)

    def locate_role(self, role: Role, message: str, hint: str, *fields: str) -> Problem:
        """Returns a problem at the first of the fields that the role has, or at the role.

        A role without an alias has its place at the first step or param that uses it.
        """
        place: Place = ("roles", role.name)
        for document in self.documents:
            if document.holds(place):
                field = next(
                    ((*place, name) for name in fields if document.holds((*place, name))), place
                )
                return document.problem(field, message, hint, key=True)
        users = [
            (planned, name)
            for planned in self.plan.steps
            for name, each in planned.step.roles.items()
            if each == role
        ]
        if users:
            return self.locate_step(users[0][0], message, hint, users[0][1], "role")
        for told in self.plan.notify:
            if told.notification.role == role:
                place = ("notify", told.notification.number, "role")
                return self.spec.problem(place, message, hint)
        for secret in self.plan.secrets:
            if secret.source.role == role:
                place = ("params", secret.source.param, "role")
                return self.spec.problem(place, message, hint, key=True)
        return self.spec.problem(("state", "role"), message, hint, key=True)

    def find_action(self, planned: PlannedStep) -> type[Action]:
        """Returns the action of a planned step."""
        return registry()[planned.step.action]

    def list_steps(self, role: Role) -> list[PlannedStep]:
        """Returns the steps that run under a role."""
        return [planned for planned in self.plan.steps if role in planned.step.roles.values()]

    def iter_permissions(self) -> Iterator[tuple[PlannedStep, str, Permission]]:
        """Yields each step's permissions, with the field of the role that needs them."""
        for planned in self.plan.steps:
            for field, needed in planned.permissions.items():
                for permission in needed:
                    yield planned, field, permission

    def find_source_account(self, role: Role) -> str:
        """Returns the account that assumes the role; empty if it is not known."""
        return self.job_account if role.via is None else RoleArn.parse(role.via.arn).account

    def iter_texts(self) -> Iterator[tuple[Document, Place, str]]:
        """Yields every text in the files, with its place."""
        for document in self.documents:
            for place, value in _iter_texts(document.data, ()):
                yield document, place, value

    def _find_places(self) -> dict[str, Place]:
        """Returns step id -> its place, also of the steps inside groups."""
        places: dict[str, Place] = {}
        for index, step in enumerate(self.spec.data["steps"]):
            places[str(step.get("id"))] = ("steps", index)
            for inner, each in enumerate(step.get("steps") or ()):
                step_id = inner_id(str(step.get("id")), str(each.get("id")))
                places[step_id] = ("steps", index, "steps", inner)
        return places


def _iter_texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _iter_texts(each, (*place, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _iter_texts(each, (*place, index))


def is_write(permission: Permission) -> bool:
    """Returns True if the permission allows changing or deleting data."""
    name = permission.action.partition(":")[2]
    return name.startswith(("Put", "Delete")) or permission.action == "s3:*"
