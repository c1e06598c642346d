"""One attempt of ``s3.copy`` that finds nothing: an error, or the end of an earlier move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.actions.builtin.s3_copy import S3Copy
from rolerunner.actions.copy_run import CopyRun
from rolerunner.errors import EmptySource
from rolerunner.model import Role, Step
from rolerunner.run.work_notes import StartedWork, WorkNotes
from tests.unit.actions.builtin.fake import FakeStorage
from tests.unit.actions.context import Recorded, make_context

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.storage.protocol import Access

ROLES = {
    "source_role": Role("arn:aws:iam::111122223333:role/a", "a"),
    "target_role": Role("arn:aws:iam::444455556666:role/b", "b"),
}
NOTHING = {"count": 0, "bytes": 0, "skipped": 0, "deleted": 0}


def open_run(
    folder: Path, recorded: Recorded, fields: dict[str, Any], **more: Any
) -> tuple[CopyRun, dict[str, Access]]:
    """Returns a run over empty buckets, and how its storages were opened."""
    opened: dict[str, Access] = {}

    def open_storage(role: Role, access: Access, *_: object) -> FakeStorage:
        opened[role.name] = access
        return FakeStorage({})

    action = S3Copy.model_validate({"source": "s3://from/in/", "target": "s3://to/out/", **fields})
    context = make_context(folder, recorded, roles=ROLES, open_storage=open_storage, **more)
    return CopyRun(action, cast("Any", context)), opened


def test_nothing_to_copy_is_an_error(tmp_path: Path) -> None:
    run, _ = open_run(tmp_path, Recorded(), {})
    with pytest.raises(EmptySource, match="s3://from/in/"):
        run.run()


@pytest.mark.parametrize("fields", [{"on_empty": "ok"}, {"on_empty": "ok", "move": True}])
def test_nothing_to_copy_may_be_right(tmp_path: Path, fields: dict[str, Any]) -> None:
    run, _ = open_run(tmp_path, Recorded(), fields)
    outputs = dict(run.run())
    assert len(outputs.pop("objects")) == 0
    assert outputs == NOTHING


def test_a_move_that_an_earlier_attempt_ended_is_no_error(tmp_path: Path) -> None:
    recorded = Recorded()
    work = StartedWork("it", Step("it", "s3.copy", {}), "r", dict, WorkNotes())
    run, _ = open_run(tmp_path, recorded, {"move": True}, is_resumed=True, started_work=work)
    with pytest.raises(EmptySource):  # nothing says that this step has moved something
        run.run()
    work.aside("removal").write("s3://from/in/", same_inputs=False)
    assert run.run()["count"] == 0
    message = "nothing is left in s3://from/in/: an earlier attempt removed it"
    assert recorded.notes == [("info", message, {})]
    work.aside("removal").write("s3://from/other/", same_inputs=False)
    with pytest.raises(EmptySource):
        run.run()


def test_a_survey_of_nothing(tmp_path: Path) -> None:
    run, _ = open_run(tmp_path, Recorded(), {"delete_extra": True, "max_delete": 5})
    assert run.survey()["count"] == 0


def test_each_side_has_its_own_access(tmp_path: Path) -> None:
    key = "x" * 43 + "="
    fields = {"customer_key": key, "expected_source_bucket_owner": "111122223333"}
    _, opened = open_run(tmp_path, Recorded(), fields)
    assert (opened["a"].customer_key, opened["a"].bucket_owner) == (key, "111122223333")
    of_target = opened["b"]
    assert (of_target.source_key, of_target.source_bucket_owner) == (key, "111122223333")
    assert not of_target.customer_key
