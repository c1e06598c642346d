"""Test files on disk: which are found, and the mistakes in them and in the files they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolerunner.errors import UsageError
from rolerunner.spec_testing.load import find_test_files
from tests.unit.spec_testing.samples import HEAD, JOB, SPEC, load, problems

ONE = "  - {name: one}\n"


def test_test_files_are_found_in_folders_once_each(tmp_path: Path) -> None:
    names = ["b.test.yaml", "a.test.yaml", "d/c.test.yaml", "d/job.yaml"]
    skipped = [".git/x.test.yaml", "node_modules/x.test.yaml", "build/d/x.test.yaml"]
    for name in (*names, *skipped):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = find_test_files([str(tmp_path / "b.test.yaml"), str(tmp_path)])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "b.test.yaml",
        "a.test.yaml",
        "d/c.test.yaml",
    ]
    assert find_test_files([str(tmp_path / "build")]) == [tmp_path / "build/d/x.test.yaml"]
    assert find_test_files([]) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "none: no such file or folder"), ("job.yaml", "a test file's name ends with")],
)
def test_another_file_is_an_error(
    tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        find_test_files([name])


def test_params_of_a_case_are_over_those_of_the_file(tmp_path: Path) -> None:
    head = "version: 1\nparams: {day: 2026-01-02, other: 1}\ncases:\n"
    (tmp_path / "job.yaml").write_text(
        SPEC.replace("params: {", "params: {other: {type: integer, default: 0}, ")
    )
    first, second = load(tmp_path, f"{ONE}  - {{name: two, params: {{day: 2026-01-03}}}}\n", head)
    assert [str(case.params["day"]) for case in (first, second)] == ["2026-01-02", "2026-01-03"]
    assert second.job is not None
    assert second.job.params["other"] == 1


def test_each_case_has_its_own_folder_filled_in(tmp_path: Path) -> None:
    cases = "".join(
        f"  - {{name: {name}, only: ['${{{{ case.folder }}}}'], expect: {{exit: 2}}, "
        "params: {day: x}}\n"
        for name in ("one", "two")
    )
    first, second = load(tmp_path, cases)
    assert [first.fields.only, second.fields.only] == [[str(first.folder)], [str(second.folder)]]


@pytest.mark.parametrize(
    ("cases", "head", "found"),
    [
        (ONE + ONE, HEAD, ["4:12: duplicate case 'one' (the first is on line 3)"]),
        (ONE, "version: 1\nspec: none.yaml\ncases:\n", ["2:7: there is no spec"]),
        (ONE, "version: 1\nsandbox: none.yaml\ncases:\n", ["2:10: there is no sandbox file"]),
        (ONE, "version: 1\nsandbox: {version: 1}\ncases:\n", ["2:10: 'job_role' is missing"]),
        ("  - {nme: one}\n", HEAD, ["3:6: unknown key 'nme'", "3:5: 'name' is missing"]),
        (
            "  - {name: one, params: {day: never}}\n",
            HEAD,
            ["3:25: the spec does not take these params: "],
        ),
        (
            "  - {name: one, only: ['${{ case.foldr }}']}\n",
            HEAD,
            ["3:25: there is no 'case.foldr' (did you mean 'folder'?)"],
        ),
    ],
)
def test_mistakes_have_their_places(
    tmp_path: Path, cases: str, head: str, found: list[str]
) -> None:
    shown = problems(tmp_path, cases, head)
    for start in found:
        assert any(each.startswith(start) for each in shown), (start, shown)


def test_mistakes_of_the_spec_are_those_of_the_test_file_too(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(SPEC.replace("s3.list", "s3.lst"))
    (shown,) = problems(tmp_path, ONE)
    assert "unknown action 's3.lst'" in shown


def test_without_a_sandbox_file_the_world_is_that_of_the_spec(tmp_path: Path) -> None:
    (case,) = load(tmp_path, ONE)
    assert case.world.job_role == JOB
    (tmp_path / "job.sandbox.yaml").unlink()
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "job.yaml").write_text(SPEC)
    path = tmp_path / "alone" / "job.test.yaml"
    path.write_text(HEAD + ONE)
    from rolerunner.spec_testing.load import load_cases

    (derived,) = load_cases([path], tmp_path / "cases")
    assert derived.world.job_role == "arn:aws:iam::123456789012:role/glue-nightly"
    assert [bucket.name for bucket in derived.world.buckets] == ["landing"]
