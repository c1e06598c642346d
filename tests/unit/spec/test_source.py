"""Texts of specs, included files and params: where they may lie, and how large they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rolerunner.errors import SpecError, UsageError
from rolerunner.spec.source import (
    MAX_READ,
    read_documents,
    read_mapping,
    read_param_text,
    read_params_file,
    read_text,
    resolve_include,
)


def test_text_is_utf8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9")
    assert read_text(str(path)) == ("a: \xe9", str(path))
    path.write_bytes(b"a: \xff")
    with pytest.raises(SpecError, match=r"a\.yaml:1:4: not UTF-8 text"):
        read_text(str(path))


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        ("a: b\nc: caf\xe9\n".encode("latin-1"), (2, 7), "not UTF-8 text"),
        (b"\xc3\xa9\xc3\xa9\xc3", (1, 3), "not UTF-8 text"),
        ("a: b".encode("utf-16"), (1, 1), "not UTF-8 text but UTF-16"),
    ],
)
def test_a_wrong_encoding_has_its_place(
    tmp_path: Path, data: bytes, place: tuple[int, int], message: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        read_text(str(path))
    (problem,) = caught.value.problems
    assert (problem.mark.line, problem.mark.column) == place
    assert (problem.message, problem.hint) == (message, "save the file as UTF-8")


def test_at_most_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MAX_READ + 10)
    assert len(read_text(str(path))[0]) == MAX_READ


@pytest.mark.parametrize(
    ("name", "message"), [("none", "none: no such file"), ("", "is a folder; name a spec in it")]
)
def test_a_file_must_be_there(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_text(str(tmp_path / name))


def test_s3_is_read_by_what_is_given_for_it() -> None:
    asked = []

    def read_object(uri: str, most: int) -> bytes:
        asked.append((uri, most))
        return b"x"

    assert read_text("s3://box/a.yaml", read_object) == ("x", "s3://box/a.yaml")
    assert asked == [("s3://box/a.yaml", MAX_READ)]
    with pytest.raises(UsageError, match="only local files can be read here"):
        read_text("s3://box/a.yaml")


@pytest.mark.parametrize(
    ("spec", "include", "place"),
    [
        ("s3://box/specs/a.yaml", "roles.yaml", "s3://box/specs/roles.yaml"),
        ("s3://box/a.yaml", "d/./roles.yaml", "s3://box/d/roles.yaml"),
        ("specs/a.yaml", "d/roles.yaml", "specs/d/roles.yaml"),
        ("a.yaml", "roles.yaml", "roles.yaml"),
    ],
)
def test_included_files_are_beside_the_spec(spec: str, include: str, place: str) -> None:
    assert resolve_include(spec, include) == place


@pytest.mark.parametrize("include", ["/etc/passwd", "~/a", "s3://box/a", "../a", "d/../../a"])
@pytest.mark.parametrize("spec", ["specs/a.yaml", "s3://box/specs/a.yaml"])
def test_other_places_are_refused(spec: str, include: str) -> None:
    with pytest.raises(UsageError, match=r"relative to the spec's folder, without '\.\.'"):
        resolve_include(spec, include)


def test_a_link_that_leads_outside_and_a_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (tmp_path / "outside.yaml").write_text("")
    os.symlink(tmp_path / "outside.yaml", folder / "out.yaml")
    (folder / "inside.yaml").write_text("")
    os.symlink("inside.yaml", folder / "in.yaml")
    spec = str(folder / "a.yaml")
    with pytest.raises(UsageError, match="a link to a place outside the spec's folder"):
        resolve_include(spec, "out.yaml")
    assert resolve_include(spec, "in.yaml") == str(folder / "in.yaml")
    (folder / "d").mkdir()
    with pytest.raises(UsageError, match="it is not a regular file"):
        resolve_include(spec, "d")


def test_documents_are_the_spec_and_its_includes(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("include: [b.yaml]\n")
    (tmp_path / "b.yaml").write_text("roles: {}\n")
    found = read_documents(str(tmp_path / "a.yaml"))
    assert [Path(each.file).name for each in found] == ["a.yaml", "b.yaml"]
    (tmp_path / "a.yaml").write_text("version: 1\n")
    assert len(read_documents(str(tmp_path / "a.yaml"))) == 1


def test_params_of_a_file_have_their_places(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: 1\nb: [x]\n")
    params = read_params_file(str(path))
    assert {name: (each.value, each.mark.line) for name, each in params.items()} == {
        "a": (1, 1),
        "b": (["x"], 2),
    }
    assert read_mapping(str(path)) == {"a": 1, "b": ["x"]}
    path.write_text("- hunter2-blue\n")
    with pytest.raises(UsageError, match="must be a mapping") as caught:
        read_params_file(str(path))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError, match="must be a mapping"):
        read_mapping(str(path))


@pytest.mark.parametrize(
    ("content", "text"), [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", ""), ("a", "a")]
)
def test_the_last_line_break_of_a_param_is_left_out(
    tmp_path: Path, content: str, text: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content.encode())
    value = read_param_text(str(path))
    assert (value.value, str(value.mark)) == (text, f"{path}:1:1")


@pytest.mark.parametrize("name", ["a" * 5_000, "a\0b"])
def test_a_name_that_no_file_can_have_is_a_mistake(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it cannot be the path of a file"):
        resolve_include(str(tmp_path / "spec.yaml"), name)
    with pytest.raises(UsageError):
        read_text(str(tmp_path / name))


def test_a_path_that_cannot_be_read_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    for name, reason in {
        "x" * 300: "File name too long",
        "loop": "Too many levels",
        "file/a.yaml": "Not a directory",
        ".": "is a folder",
    }.items():
        with pytest.raises(UsageError, match=reason):
            read_text(str(tmp_path / name))
