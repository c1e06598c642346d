"""``s3.copy``: fields that do not go together, targets, and permissions of its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_copy import S3Copy
from rolerunner.errors import StepError
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from pathlib import Path

FROM, TO = "s3://from/in/", "s3://to/out/"


def create(**fields: Any) -> S3Copy:
    return S3Copy.model_validate({"source": FROM, "target": TO, **fields})


def list_needed(action: S3Copy) -> tuple[set[str], set[str]]:
    """Returns the actions on the source and on the target."""
    needed = action.permissions()
    source, target = ({each.action for each in needed[role]} for role in needed)
    return source, target


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": None}, "'source' or 'objects'"),
        ({"move": True, "if_exists": "skip_same", "compare": "size"}, "does not verify content"),
        ({"move": True, "if_exists": "skip_same", "compare": "mtime"}, "does not verify content"),
        ({"multipart_above": "4MiB"}, "greater than or equal to"),
        ({"part_size": "6GB"}, "less than or equal to"),
        ({"version": "v1"}, "'version' requires a 'source' that is one object"),
        ({"distribute": "spark", "customer_key": "x" * 43 + "="}, "secrets are not sent"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create(**fields)


@pytest.mark.parametrize(
    ("source", "target", "place"),
    [
        (FROM, "s3://to/out", "s3://to/out/"),
        ("s3://from/a", "s3://to/out", "s3://to/out"),
        ("s3://from/a", TO, TO),
    ],
)
def test_the_target_of_a_prefix_is_a_folder(source: str, target: str, place: str) -> None:
    assert str(create(source=source, target=target).place()) == place


def test_a_target_within_the_source_is_an_error(tmp_path: Path) -> None:
    action = create(target="s3://from/in/copy/")
    with pytest.raises(StepError) as caught:
        action.run(make_context(tmp_path))
    assert caught.value.type == "TargetInSource"
    assert caught.value.hint


def test_a_plain_copy_reads_and_writes_alone() -> None:
    source, target = list_needed(create())
    assert source == {
        "s3:ListBucket",
        "s3:GetObject",
        "s3:GetObjectTagging",
        "s3:GetObjectAnnotation",
    }
    assert "s3:PutObject" in target
    assert not target & {"s3:ListBucket", "s3:GetObject", "s3:DeleteObject"}


@pytest.mark.parametrize(
    ("fields", "of_source", "of_target"),
    [
        ({"move": True}, {"s3:DeleteObject"}, {"s3:ListBucket", "s3:GetObject"}),
        ({"if_exists": "skip"}, set(), {"s3:ListBucket", "s3:GetObject"}),
        ({"delete_extra": True, "max_delete": 5}, set(), {"s3:ListBucket", "s3:DeleteObject"}),
        ({"distribute": "spark"}, set(), {"s3:ListBucket", "s3:GetObject"}),
        (
            {"as_of": "2026-01-31"},
            {
                "s3:ListBucketVersions",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionTagging",
                "s3:GetObjectVersionAnnotation",
            },
            set(),
        ),
    ],
    ids=["move", "skip", "mirror", "spark", "past"],
)
def test_an_option_needs_more(
    fields: dict[str, Any], of_source: set[str], of_target: set[str]
) -> None:
    source, target = list_needed(create(**fields))
    plain_source, plain_target = list_needed(create())
    assert source - plain_source == of_source
    assert target - plain_target == of_target


def test_tags_of_the_step_replace_those_of_the_source() -> None:
    source, target = list_needed(create(tags={"team": "orders"}))
    assert "s3:GetObjectTagging" not in source
    assert "s3:PutObjectTagging" in target
