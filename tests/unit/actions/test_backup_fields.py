"""The fields for what a step keeps."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.backup_fields import BackupFields, check_backup, check_backup_suffix
from rolerunner.model import S3Uri
from rolerunner.spec.action_schema import FieldConflictError

FOLDER, OBJECT = S3Uri("box", "in/"), S3Uri("box", "in/a.csv")


@pytest.mark.parametrize(
    ("backup", "place", "exclude"),
    [
        ("s3://box/in/old/", "s3://box/in/", []),
        ("s3://box/", "s3://box/in/", []),
        ("s3://box/in/", "s3://box/in/", []),
        ("s3://box/in/", "s3://box/in/a", []),
        ("s3://box/in/", "s3://box/in/x/", ["x/**"]),
    ],
)
def test_overlapping_backups_are_refused(backup: str, place: str, exclude: list[str]) -> None:
    with pytest.raises(FieldConflictError, match="'backup'"):
        check_backup(S3Uri.parse(backup), S3Uri.parse(place), "source", (), exclude)


@pytest.mark.parametrize(
    ("backup", "place", "exclude"),
    [
        ("s3://box/old/", "s3://box/in/", []),
        ("s3://cup/in/", "s3://box/in/", []),
        ("s3://box/in/old/", "s3://box/in/", ["old/**"]),
        ("s3://box/kept/", "s3://box/in/a", []),
    ],
)
def test_backups_apart_are_allowed(backup: str, place: str, exclude: list[str]) -> None:
    check_backup(S3Uri.parse(backup), S3Uri.parse(place), "source", (), exclude)


@pytest.mark.parametrize("suffix", ["", "/old", "a/b"])
def test_a_suffix_is_the_end_of_a_name(suffix: str) -> None:
    with pytest.raises(ValidationError, match="some text without '/'"):
        BackupFields(backup_suffix=suffix)


@pytest.mark.parametrize(
    ("place", "resources"),
    [(FOLDER, "arn:aws:s3:::box/in/*"), (OBJECT, "arn:aws:s3:::box/in/a.csv.old")],
)
def test_a_copy_beside_the_object_needs_permissions_there(place: S3Uri, resources: str) -> None:
    needed = BackupFields(backup_suffix=".old").backup_permissions(place)
    assert {each.resource for each in needed if each.reason == "backup"} == {resources}
    assert BackupFields().backup_permissions(place) == []


@pytest.mark.parametrize(
    ("source", "target", "exclude"),
    [(FOLDER, FOLDER, []), (FOLDER, S3Uri("box", "in/x/"), []), (S3Uri("box"), FOLDER, [])],
)
def test_copies_beside_the_target_are_no_objects_of_the_source(
    source: Any, target: Any, exclude: list[str]
) -> None:
    with pytest.raises(FieldConflictError, match="inside 'source'"):
        check_backup_suffix(".old", source, target, ([], exclude))


@pytest.mark.parametrize(
    ("source", "target", "exclude"),
    [
        (FOLDER, S3Uri("cup", "in/"), []),
        (FOLDER, S3Uri("box", "in/x/"), ["x/**"]),
        (OBJECT, OBJECT, []),
        (None, FOLDER, []),
    ],
)
def test_copies_apart_from_the_source_are_allowed(
    source: Any, target: Any, exclude: list[str]
) -> None:
    check_backup_suffix(".old", source, target, ([], exclude))
    check_backup_suffix(None, FOLDER, FOLDER, ([], []))
