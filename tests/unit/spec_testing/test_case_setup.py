"""The state that a case gives: objects added, replaced and left out, denials, files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolerunner.sandbox.world import World
from rolerunner.spec_testing.case_setup import build_world, write_files
from tests.unit.spec_testing.samples import READER, load


def built(tmp_path: Path, given: str) -> World:
    (case,) = load(tmp_path, f"  - {{name: one, given: {{{given}}}}}\n")
    before = case.world.model_copy(deep=True)
    world = build_world(case)
    assert case.world == before, "the sandbox's own world stays, which other cases share"
    return world


def keys(world: World) -> dict[str, str | None]:
    return {each.key: each.text for each in world.buckets[0].objects}


@pytest.mark.parametrize(
    ("given", "objects"),
    [
        ("", {"in/a": "x", "in/b": "y", "inx": "z"}),
        ("without: ['s3://landing/in/']", {"inx": "z"}),
        ("without: ['s3://landing']", {}),
        ("without: ['s3://landing/in/a']", {"in/b": "y", "inx": "z"}),
        ("objects: {'s3://landing/new': n}", {"in/a": "x", "in/b": "y", "inx": "z", "new": "n"}),
        ("objects: {'s3://landing/in/a': n}", {"in/b": "y", "inx": "z", "in/a": "n"}),
        (
            "without: ['s3://landing/in/'], objects: {'s3://landing/in/a': n}",
            {"inx": "z", "in/a": "n"},
        ),
    ],
)
def test_objects_are_added_replaced_and_left_out(
    tmp_path: Path, given: str, objects: dict[str, str]
) -> None:
    found = keys(built(tmp_path, given))
    assert found == objects
    assert list(found) == list(objects)


def test_a_denial_is_the_roles_alone_and_comes_last(tmp_path: Path) -> None:
    world = built(
        tmp_path,
        "deny: [{role: reader, actions: [a]}, {role: reader, actions: [b], resources: [r]}]",
    )
    job, reader = world.roles
    assert job.permissions == []
    assert reader.arn == READER
    assert reader.permissions == [
        {"Effect": "Deny", "Action": ["a"], "Resource": ["*"]},
        {"Effect": "Deny", "Action": ["b"], "Resource": ["r"]},
    ]


def test_the_file_of_an_object_is_that_beside_the_test_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    world = built(tmp_path, "objects: {'s3://landing/a': {file: data, content_type: text/csv}}")
    made = world.buckets[0].objects[-1]
    assert (made.file, made.content_type) == (str(tmp_path / "data"), "text/csv")
    assert made.body(Path("/nowhere")) == b"x"


def test_the_working_folder_has_the_files(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\xff")
    (case,) = load(
        tmp_path, "  - {name: one, given: {files: {a: x, d/e/b: {file: data}, c: {size: 2}}}}\n"
    )
    write_files(case)
    assert {
        str(path.relative_to(case.folder)): path.read_bytes()
        for path in case.folder.rglob("*")
        if path.is_file()
    } == {"a": b"x", "d/e/b": b"\xff", "c": b"01"}
    with pytest.raises(FileExistsError):
        write_files(case)


def test_a_case_describes_queries_and_jobs(tmp_path: Path) -> None:
    account = '"444455556666"'
    world = built(
        tmp_path,
        f"query_results: [{{query: SELECT 1, account: {account}}}],"
        f" jobs: [{{name: load, account: {account}, state: FAILED}}]",
    )
    assert [each.query for each in world.query_results] == ["SELECT 1"]
    assert [(each.name, each.state) for each in world.jobs] == [("load", "FAILED")]
