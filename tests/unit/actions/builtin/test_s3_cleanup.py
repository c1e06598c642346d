"""``s3.cleanup``: which uploads it finds, how old they are, and what a preview says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.builtin.s3_cleanup import S3Cleanup
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Outcome, UnfinishedUpload
from tests.unit.actions.builtin.fake import FakeStorage, make_step
from tests.unit.actions.context import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = 86_400.0


class Uploads(FakeStorage):
    """Unfinished uploads, each with its key and age, of three bytes each."""

    def __init__(self, *uploads: tuple[str, float | None]) -> None:
        super().__init__({})
        self.uploads = uploads

    def list_uploads(self, uri: S3Uri, _: object) -> Iterator[UnfinishedUpload]:
        for number, (key, age) in enumerate(self.uploads, 1):
            if key.startswith(uri.key):
                yield UnfinishedUpload(key, f"u{number}", f"2026-01-0{number}T00:00:00Z", age)

    def send_each(self, infos: Any, bucket: str, *_: object) -> Iterator[Outcome]:
        for info in infos:
            yield Outcome(S3Uri(bucket, info.key), 3)


def create(source: str = "s3://box/in/", **fields: Any) -> S3Cleanup:
    return S3Cleanup.model_validate({"source": source, "max_delete": 9, **fields})


def preview(folder: Path, action: S3Cleanup, *uploads: tuple[str, float | None]) -> list[str]:
    plans: list[Any] = []
    action.plan_objects(make_step(folder, Uploads(*uploads)), plans.append)
    return [each.object for each in plans]


def test_younger_uploads_are_left_alone(tmp_path: Path) -> None:
    uploads = (("in/a", 7 * DAY), ("in/b", 7 * DAY - 1), ("out/c", 9 * DAY))
    assert preview(tmp_path, create(), *uploads) == ["s3://box/in/a"]
    assert preview(tmp_path, create(min_age="1d"), *uploads) == ["s3://box/in/a", "s3://box/in/b"]


def test_a_key_is_no_prefix(tmp_path: Path) -> None:
    uploads = (("in/a", 9 * DAY), ("in/ab", 9 * DAY))
    assert preview(tmp_path, create("s3://box/in/a"), *uploads) == ["s3://box/in/a"]


def test_globs_choose_by_the_name_below_the_prefix(tmp_path: Path) -> None:
    uploads = (("in/a.csv", 9 * DAY), ("in/a.txt", 9 * DAY))
    assert preview(tmp_path, create(include=["*.csv"]), *uploads) == ["s3://box/in/a.csv"]


def test_more_than_may_be_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="2 unfinished uploads") as caught:
        preview(tmp_path, create(max_delete=1), ("in/a", 9 * DAY), ("in/b", 9 * DAY))
    assert "max_delete" in f"{caught.value.message} {caught.value.hint}"


def test_uploads_without_a_time_are_kept_with_a_warning(tmp_path: Path) -> None:
    recorded = Recorded()
    context = make_step(tmp_path, Uploads(("in/a", None), ("in/b", 9 * DAY)), recorded)
    assert create().survey(context)["count"] == 1
    ((level, message, _),) = recorded.notes
    assert (level, "when 1 unfinished uploads were begun" in message) == ("warning", True)


@pytest.mark.parametrize(("measure", "size"), [(True, 6), (False, None)])
def test_a_survey_adds_up_the_parts_on_request(
    tmp_path: Path, measure: bool, size: int | None
) -> None:
    context = make_step(tmp_path, Uploads(("in/a", 9 * DAY), ("in/b", 8 * DAY)))
    found = create(measure=measure).survey(context)
    assert (found["count"], found["oldest"], found.get("bytes")) == (
        2,
        "2026-01-01T00:00:00Z",
        size,
    )


@pytest.mark.parametrize("measure", [True, False])
def test_measuring_needs_one_more_permission(measure: bool) -> None:
    actions = [each.action for each in create(measure=measure).permissions()["role"]]
    assert ("s3:ListMultipartUploadParts" in actions) is measure
    assert create().list_read_fields() == ()
