"""What is looked at: the plan, and the files that say where each thing stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolerunner.actions import registry
from rolerunner.errors import Problem
from rolerunner.model import RoleArn

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
        """The spec itself."""
        return self.documents[0]

    def at_step(self, planned: PlannedStep, message: str, hint: str, *fields: str) -> Problem:
        """A problem at the first of a step's fields that is written there, else at the step."""
        place: Place = ("steps", self._positions()[planned.step.id])
        field = next(
            ((*place, name) for name in fields if self.spec.holds((*place, name))), (*place, "id")
        )
        return self.spec.problem(field, message, hint, key=True)

    def at_role(self, role: Role, message: str, hint: str, *fields: str) -> Problem:
        """A problem at the first of a role's fields that is written there, else at the role, else at the first step that has it."""
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
            return self.at_step(users[0][0], message, hint, users[0][1], "role")
        return self.spec.problem(("state", "role"), message, hint, key=True)

    def action_of(self, planned: PlannedStep) -> type[Action]:
        """Returns the action of a planned step."""
        return registry()[planned.step.action]

    def steps_of(self, role: Role) -> list[PlannedStep]:
        """The steps that run under a role."""
        return [planned for planned in self.plan.steps if role in planned.step.roles.values()]

    def permissions(self) -> Iterator[tuple[PlannedStep, str, Permission]]:
        """Each step's permissions, with the role field that needs them."""
        for planned in self.plan.steps:
            for field, needed in planned.permissions.items():
                for permission in needed:
                    yield planned, field, permission

    def account_before(self, role: Role) -> str:
        """The account that a role is assumed from; empty where it is not known."""
        return self.job_account if role.via is None else RoleArn.parse(role.via.arn).account

    def texts(self) -> Iterator[tuple[Document, Place, str]]:
        """Every text in the files, with its place."""
        for document in self.documents:
            for place, value in _texts(document.data, ()):
                yield document, place, value

    def _positions(self) -> dict[Any, int]:
        return {step.get("id"): index for index, step in enumerate(self.spec.data["steps"])}


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, (*place, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _texts(each, (*place, index))


def is_write(permission: Permission) -> bool:
    """Does the permission change or delete something of users' data?"""
    name = permission.action.partition(":")[2]
    return name.startswith(("Put", "Delete")) or permission.action == "s3:*"
