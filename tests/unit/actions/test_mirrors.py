"""When a copy may delete what is extra at its target."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.actions.mirrors import check_copy_mirror
from rolerunner.model import S3Uri
from rolerunner.spec.expressions import parse_template

BUCKET, FOLDER, OBJECT = S3Uri("box"), S3Uri("box", "in/"), S3Uri("box", "in/a")
UNKNOWN = parse_template("s3://${{ params.bucket }}/in")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (FOLDER, S3Uri("other", "out")),
        (BUCKET, S3Uri("other")),
        (BUCKET, FOLDER),
        (UNKNOWN, FOLDER),
        (FOLDER, UNKNOWN),
    ],
)
def test_a_prefix_can_have_a_mirror(source: Any, target: Any) -> None:
    check_copy_mirror(source, target, move=False)
    with pytest.raises(ValueError, match="'move' and 'delete_extra' exclude each other"):
        check_copy_mirror(source, target, move=True)


@pytest.mark.parametrize("source", [None, OBJECT])
def test_one_object_or_a_list_has_none(source: Any) -> None:
    with pytest.raises(ValueError, match="needs a 'source' that ends with '/'"):
        check_copy_mirror(source, FOLDER, move=False)


@pytest.mark.parametrize("source", [FOLDER, UNKNOWN])
def test_a_whole_bucket_mirrors_only_a_whole_bucket(source: Any) -> None:
    with pytest.raises(ValueError, match="cannot be used on a whole bucket"):
        check_copy_mirror(source, S3Uri("other"), move=False)
