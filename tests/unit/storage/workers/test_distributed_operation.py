"""Operations make tasks, and workers share the limits of rates."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.model import Role
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers
from rolerunner.storage.workers.distributed_tasks import pickle_tasks
from tests.workers import InProcess

STORAGE: Any = "storage"


def test_the_rates_are_divided_by_the_slots() -> None:
    workers = RoleWorkers(InProcess(slots=8), Role("", name="copier"), Pacer())
    assert workers.share_pacer() == 8
    assert workers.pacer.shares == 8


def test_a_cluster_shows_the_role() -> None:
    workers = RoleWorkers(InProcess(), Role("", name="copier"), Pacer())
    assert workers.label("copy") == "rolerunner: copy as copier"
    assert list(workers.run([pickle_tasks([bool])], Cancel(), "copy")) == [[False]]


@pytest.mark.parametrize(
    ("method", "is_copy", "is_deletion"),
    [
        ("copy", True, False),
        ("relay", True, False),
        ("delete", False, True),
        ("head_many", False, False),
    ],
)
def test_an_operation_knows_its_kind(method: str, is_copy: bool, is_deletion: bool) -> None:
    operation = DistributedOperation(STORAGE, method)
    assert (operation.is_copy, operation.is_deletion) == (is_copy, is_deletion)


def test_all_tasks_have_the_start_of_the_operation() -> None:
    operation = DistributedOperation(STORAGE, "delete", ("bucket",), {"unchanged": True})
    tasks = [operation.create_task([number]) for number in range(2)]
    assert {each.started_at for each in tasks} == {operation.started_at}
    assert (tasks[1].items, tasks[1].arguments) == ([1], ("bucket",))
    assert tasks[0].options == {"unchanged": True}
