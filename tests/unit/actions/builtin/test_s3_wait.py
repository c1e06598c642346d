"""``s3.wait``: when it is complete, what is missing, and the end of its patience."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_wait import S3Wait
from rolerunner.errors import StepError
from tests.unit.actions.builtin.fake import FakeStorage, make_step
from tests.unit.actions.context import Recorded

BODIES = {"in/a": b"123", "in/b": b"1", "in/ab": b""}


def wait(folder: Path, source: Any, recorded: Recorded | None = None, **fields: Any) -> Any:
    action = S3Wait.model_validate({"source": source, "max_wait": 0, "interval": 0.01, **fields})
    return action.run(make_step(folder, FakeStorage(BODIES), recorded))


@pytest.mark.parametrize(
    ("source", "fields", "keys"),
    [
        ("s3://box/in/", {}, ["in/a", "in/ab", "in/b"]),
        ("s3://box/in/", {"min_count": 3, "min_bytes": 4}, ["in/a", "in/ab", "in/b"]),
        ("s3://box/in/", {"min_size": 1}, ["in/a", "in/b"]),
        ("s3://box/in/a", {}, ["in/a"]),
        (["s3://box/in/b", "s3://other/in/a"], {}, ["in/b", "in/a"]),
    ],
)
def test_it_ends_once_every_source_has_its_objects(
    tmp_path: Path, source: Any, fields: dict[str, Any], keys: list[str]
) -> None:
    outputs = wait(tmp_path, source, **fields)
    assert [info.key for info in outputs["objects"]] == keys
    assert outputs["count"] == len(keys)
    assert outputs["bytes"] == sum(len(BODIES[key]) for key in keys)


@pytest.mark.parametrize(
    ("source", "fields", "missing"),
    [
        ("s3://box/in/", {"min_count": 4}, "s3://box/in/ has 3 of 4 objects"),
        ("s3://box/none", {}, "s3://box/none has 0 of 1 object"),
        ("s3://box/in/", {"min_bytes": 5}, "s3://box/in/ has 4 of 5 bytes"),
        (
            ["s3://box/x/", "s3://box/in/", "s3://box/y"],
            {},
            "s3://box/x/ has 0 of 1 object; s3://box/y has 0 of 1 object",
        ),
    ],
)
def test_at_the_end_it_says_what_is_missing(
    tmp_path: Path, source: Any, fields: dict[str, Any], missing: str
) -> None:
    recorded = Recorded()
    with pytest.raises(StepError) as caught:
        wait(tmp_path, source, recorded, **fields)
    assert caught.value.type == "WaitTimeout"
    assert str(caught.value) == f"not complete after 0 s: {missing}"
    assert len(recorded.progress) == 1


def test_an_empty_list_waits_for_nothing() -> None:
    with pytest.raises(ValidationError, match="is an empty list"):
        S3Wait.model_validate({"source": []})


def test_permissions_and_predictions() -> None:
    one = S3Wait.model_validate({"source": "s3://box/in/"})
    two = S3Wait.model_validate({"source": ["s3://box/in/", "s3://other/"]})
    assert [each.resource for each in two.permissions()["role"]] == [
        "arn:aws:s3:::box",
        "arn:aws:s3:::other",
    ]
    assert str(one.predict_outputs()["objects"].prefix) == "s3://box/in/"
    assert two.predict_outputs() == {}


def test_the_survey_says_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    step = make_step(tmp_path, FakeStorage(BODIES))
    there = S3Wait.model_validate({"source": "s3://box/in/"})
    assert there.survey(step) == {"count": 3, "bytes": 4}
    more = S3Wait.model_validate({"source": "s3://box/in/", "min_count": 4})
    assert more.survey(step)["missing"] == "s3://box/in/ has 3 of 4 objects"
