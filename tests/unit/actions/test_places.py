"""Targets with and without a trailing slash, for the work and for the permissions."""

from __future__ import annotations

import pytest

from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.model import S3Uri


@pytest.mark.parametrize(
    ("target", "to_folder", "resolved"),
    [
        ("s3://box/a", False, "s3://box/a"),
        ("s3://box/a", True, "s3://box/a/"),
        ("s3://box/a/", False, "s3://box/a/"),
        ("s3://box/a/", True, "s3://box/a/"),
    ],
)
def test_the_target_of_one_object_or_of_several(
    target: str, to_folder: bool, resolved: str
) -> None:
    assert str(resolve_target(S3Uri.parse(target), to_folder=to_folder)) == resolved


@pytest.mark.parametrize(
    ("target", "to_folder", "covered"),
    [
        ("s3://box/a", None, ["s3://box/a", "s3://box/a/"]),
        ("s3://box/a", True, ["s3://box/a/"]),
        ("s3://box/a", False, ["s3://box/a"]),
        ("s3://box/a/", None, ["s3://box/a/"]),
        ("s3://box/a*", None, ["s3://box/a*"]),
        ("s3://box/a*", True, ["s3://box/a*"]),
    ],
)
def test_permissions_cover_both_where_only_the_run_can_tell(
    target: str, to_folder: bool | None, covered: list[str]
) -> None:
    found = possible_targets(S3Uri.parse(target), to_folder=to_folder)
    assert [str(each) for each in found] == covered
