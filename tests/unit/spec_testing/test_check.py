"""Unknown names in a case: each at its place, with the names that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.spec_testing.samples import JOB, problems

OTHER = "arn:aws:iam::444455556666:role/other"


@pytest.mark.parametrize(
    ("case", "found"),
    [
        ("only: [find]", []),
        ("only: [fnd]", ["there is no step 'fnd' (did you mean 'find'?)"]),
        ("only: [zzzz]", ["there is no step 'zzzz' (known: find)"]),
        ("expect: {steps: {fnd: failed}}", ["there is no step 'fnd' (did you mean 'find'?)"]),
        ("expect: {steps: {find: {outputs: {count: 2}}}}", []),
        (
            "expect: {steps: {find: {outputs: {cont: 2}}}}",
            ["there is no output of s3.list 'cont' (did you mean 'count'?)"],
        ),
        ("given: {deny: [{role: reader, actions: ['*']}]}", []),
        ("given: {deny: [{role: job, actions: ['*']}]}", []),
        (
            "given: {deny: [{role: raeder, actions: ['*']}]}",
            ["there is no role 'raeder' (did you mean 'reader'?)"],
        ),
        (
            "given: {deny: [{role: 'arn:aws:iam::1:role/x', actions: ['*']}]}",
            [("'arn:aws:iam::1:role/x' is not a role ARN such as arn:aws:iam::111122223333:"
             "role/name")],
        ),
        ("expect: {refusals: [{role: reader}]}", []),
        (f"expect: {{refusals: [{{role: '{OTHER}'}}]}}", []),
        (
            "expect: {refusals: [{role: writer}]}",
            ["there is no role 'writer' (there are: reader, job)"],
        ),
        ("expect: {assume_role: {reader: 1}}", []),
        (
            "expect: {assume_role: {raeder: 1}}",
            ["there is no role 'raeder' (did you mean 'reader'?)"],
        ),
        (
            "given: {objects: {'s3://lnding/a': x}}",
            ["there is no bucket 'lnding' (did you mean 'landing'?)"],
        ),
        (
            "expect: {objects: {'s3://lnding/a': x}}",
            ["there is no bucket 'lnding' (did you mean 'landing'?)"],
        ),
        ("given: {without: ['s3://landing/in/']}", []),
        ("given: {without: ['s3://landing/in/a']}", []),
        (
            "given: {without: ['s3://landing/in']}",
            ["the sandbox has no s3://landing/in (did you mean 'inx'?)"],
        ),
        ("given: {without: ['s3://landing/out/']}", ["the sandbox has no s3://landing/out/"]),
        (
            "given: {without: ['s3://lnding/in/']}",
            ["there is no bucket 'lnding' (did you mean 'landing'?)"],
        ),
    ],
)  # fmt: skip
def test_names_are_those_of_the_spec_and_the_sandbox(
    tmp_path: Path, case: str, found: list[str]
) -> None:
    shown = problems(tmp_path, f"  - {{name: one, {case}}}\n")
    assert [each.split(": ", 1)[1] for each in shown] == found


def test_a_role_that_the_sandbox_lacks_cannot_be_denied_anything(tmp_path: Path) -> None:
    (shown,) = problems(
        tmp_path, f"  - {{name: one, given: {{deny: [{{role: '{OTHER}', actions: [a]}}]}}}}\n"
    )
    assert shown.split(": ", 1)[1].startswith(f"the sandbox has no role {OTHER}")
    assert (
        problems(
            tmp_path, f"  - {{name: one, given: {{deny: [{{role: '{JOB}', actions: [a]}}]}}}}\n"
        )
        == []
    )


@pytest.mark.parametrize(
    "place",
    [
        "given: {{objects: {{'s3://landing/a': {{file: {}}}}}}}",
        "given: {{files: {{a: {{file: {}}}}}}}",
        "expect: {{objects: {{'s3://landing/a': {{file: {}}}}}}}",
        "expect: {{files: {{a: {{file: {}}}}}}}",
    ],
)
def test_files_are_beside_the_test_file(tmp_path: Path, place: str) -> None:
    (tmp_path / "there").write_text("x")
    assert problems(tmp_path, f"  - {{name: one, {place.format('there')}}}\n") == []
    (shown,) = problems(tmp_path, f"  - {{name: one, {place.format('absent')}}}\n")
    assert shown.endswith(f"there is no file '{tmp_path}/absent'")


def test_all_mistakes_of_all_cases_come_together(tmp_path: Path) -> None:
    shown = problems(
        tmp_path,
        "  - name: one\n    only: [x]\n"
        "  - name: two\n    expect:\n      assume_role: {x: 1}\n      steps: {y: failed}\n",
    )
    assert [each.split(": ")[0] for each in shown] == ["4:12", "7:21", "8:15"]
