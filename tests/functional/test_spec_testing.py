"""``rolerunner test``: passing cases, failures as expected and actual, mistakes by position."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from rolerunner.errors import SpecError, UsageError
from rolerunner.sandbox.faults import Fault, FaultyProxy
from rolerunner.spec_testing.junit import format_mismatch
from rolerunner.spec_testing.load import find_test_files, load_cases
from rolerunner.spec_testing.mismatches import matches_pattern
from rolerunner.spec_testing.run import run_case
from rolerunner.spec_testing.suite import run_cases, select_cases
from tests.conftest import CONFIGS, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.spec_testing.run import CaseResult

SPEC = """version: 1
name: small
params: {day: {type: date, default: 2026-01-01}, wait: {type: number, default: 0}}
roles: {reader: arn:aws:iam::222233334444:role/reader}
steps:
  - {id: find, action: s3.list, role: reader, source: s3://landing/in/}
  - {id: fetch, action: s3.download, role: reader, objects: "${{ steps.find.objects }}",
     target: got/}
  - {id: look, action: python.call, role: job, function: work:look,
     arguments: {wait: "${{ params.wait }}"}}
  - {id: tell, action: s3.write, role: job, target: "s3://out/${{ params.day }}.json",
     json: {count: "${{ steps.find.count }}"}, tags: {team: orders}}
"""
SANDBOX = """version: 1
job_role: arn:aws:iam::111122223333:role/job
roles:
  - arn: arn:aws:iam::111122223333:role/job
    permissions:
      - {Effect: Allow, Action: sts:AssumeRole, Resource: "*"}
      - {Effect: Allow, Action: ["s3:PutObject", "s3:PutObjectTagging", "s3:ListAllMyBuckets"],
         Resource: "*"}
  - arn: arn:aws:iam::222233334444:role/reader
    trust: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::111122223333:role/job"},
            Action: sts:AssumeRole}]
    permissions: [{Effect: Allow, Action: ["s3:ListBucket", "s3:GetObject"], Resource: "*"}]
buckets:
  - {name: landing, account: "222233334444",
     objects: [{key: in/a.txt, text: one}, {key: in/b.txt, text: two}]}
  - {name: out, account: "111122223333"}
"""
WORK = """import os, subprocess, time, boto3
def look(context, wait):
    count = len(boto3.client("s3").list_buckets()["Buckets"])
    context.log("looked", buckets=count, mine=os.environ.get("AWS_PROFILE", "none"))
    if wait > 30:
        subprocess.Popen(["sleep", "40"])  # it outlives the run, and holds its output open
    time.sleep(wait)
    return {"here": sorted(os.listdir("got"))}
"""


def project(tmp_path: Path, cases: str, top: str = "") -> Path:
    for name, text in {
        "small.yaml": SPEC,
        "small.sandbox.yaml": SANDBOX,
        "work.py": WORK,
        "small.test.yaml": f"version: 1\n{top}cases:\n{cases}",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "small.test.yaml"


def outcomes(tmp_path: Path, cases: str, top: str = "") -> list[CaseResult]:
    return [
        run_case(case) for case in load_cases([project(tmp_path, cases, top)], tmp_path / "runs")
    ]


def told(outcome: CaseResult) -> dict[str, tuple[str, str]]:
    return {each.what: (each.expected, each.seen) for each in outcome.mismatches}


@pytest.mark.once
def test_the_configs_hold_what_their_test_files_expect(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    files = [CONFIGS / f"{name}.test.yaml" for name in ("blog_cross_role", "partner_exchange")]
    completed = rolerunner("test", *files, "--junit", "report.xml")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    report = ET.parse(tmp_path / "report.xml").getroot()
    cases = list(report.iter("testcase"))
    assert completed.stdout.splitlines()[0].startswith(f"{len(cases)} cases in 2 files")
    assert f"{len(cases)} passed in " in completed.stdout
    assert (report.get("tests"), report.get("failures")) == (str(len(cases)), "0")
    assert all(float(case.get("time", "")) > 0 for case in cases)


ALL_OF_IT = """
  - name: all of it
    params: {day: 2026-02-03}
    given:
      objects:
        s3://landing/in/c.txt: three
        s3://landing/in/d.bin: {size: 1000}
      without: [s3://landing/in/a.txt]
      files: {got/before.txt: here}
    expect:
      exit: 0
      status: succeeded
      steps:
        find: {outputs: {count: 3}}
        fetch: succeeded
        look: {attempts: 1, outputs: {here: [b.txt, before.txt, c.txt, d.bin]}}
      objects:
        s3://out/: {count: 1, names: [2026-02-03.json]}
        s3://out/2026-02-03.json: {json: {count: 3}, tags: {team: orders}, contains: 'c*3',
                                   size: 17}
        s3://landing/in/a.txt: {absent: true}
        s3://landing/in/b.txt: two
      files: {got/c.txt: three, got/d.bin: {size: 1000}, got/: {count: 4}, nothing/: {count: 0}}
      refusals: []
      assume_role: {reader: 1, arn:aws:iam::222233334444:role/reader: 1}
      messages: [looked*buckets=1 mine=none]
"""


def test_what_holds_passes_and_no_identity_of_the_user_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    (outcome,) = outcomes(tmp_path, ALL_OF_IT)
    assert not outcome.mismatches, "\n".join(map(format_mismatch, outcome.mismatches)) + "\n".join(
        outcome.log
    )
    assert outcome.log[0].startswith("run_started job=small")


WRONG = """
  - name: wrong in all
    given: {deny: [{role: reader, actions: [s3:GetObject],
            resources: ["arn:aws:s3:::landing/in/b.txt"]}]}
    expect:
      exit: 0
      status: succeeded
      steps:
        find: {status: failed, error: NotFound, attempts: 2, outputs: {count: 3}}
        fetch: {message: something else, hint: nowhere}
      objects:
        s3://out/: {count: 1}
        s3://landing/in/a.txt: {text: uno, gzip: one, json: 1, size: 4, tags: {a: b},
                                file: small.yaml}
        s3://landing/in/b.txt: {absent: true}
        s3://landing/in/z.txt: {}
        s3://landing/in/: {names: [a.txt]}
      files: {got/: {absent: true}, got/a.txt: {contains: x}, got/z.txt: z}
      refusals: [{role: job}]
      assume_role: {reader: 2}
      messages: [never said]
"""


def test_what_does_not_hold_is_told_as_it_was_expected_and_seen(tmp_path: Path) -> None:
    (outcome,) = outcomes(tmp_path, WRONG)
    found = told(outcome)
    assert not outcome.has_passed
    assert found == {
        "status": ('"succeeded"', '"failed"'),
        "exit": ("0", "4"),
        "steps.find.status": ('"failed"', '"succeeded"'),
        "steps.find.error": ('a text with "NotFound"', "no text"),
        "steps.find.attempts": ("2", "1"),
        "steps.find.outputs.count": ("3", "2"),
        "steps.fetch.message": ('a text with "something else"', found["steps.fetch.message"][1]),
        "steps.fetch.hint": ('a text with "nowhere"', found["steps.fetch.hint"][1]),
        "objects.s3://out/.count": ("1", "0"),
        "objects.s3://landing/in/a.txt.text": ('"uno"', '"one"'),
        "objects.s3://landing/in/a.txt.gzip": ('"one"', '"not gzip: 3 bytes"'),
        "objects.s3://landing/in/a.txt.json": ("1", '"not JSON: one"'),
        "objects.s3://landing/in/a.txt.size": ("4", "3"),
        "objects.s3://landing/in/a.txt.tags": ('{"a": "b"}', "{}"),
        "objects.s3://landing/in/a.txt.file": ("the bytes of small.yaml", "3 other bytes"),
        "objects.s3://landing/in/b.txt": ("nothing there", "3 bytes"),
        "objects.s3://landing/in/z.txt": ("something there", "nothing there"),
        "objects.s3://landing/in/.names": ('["a.txt"]', '["a.txt", "b.txt"]'),
        "files.got/": ("nothing there", "1: a.txt"),
        "files.got/a.txt.contains": ('a text with "x"', '"one"'),
        "files.got/z.txt": ("something there", "nothing there"),
        "refusals": ("no others", "reader GetObject landing/in/b.txt"),
        "assume_role.reader": ("2", "1"),
        "messages": ('a line with "never said"', found["messages"][1]),
    }
    assert "s3:GetObject" in found["steps.fetch.message"][1]
    assert "AccessDenied" in next(
        each.detail for each in outcome.mismatches if each.what == "status"
    )


TROUBLE = """
  - name: a role is refused
    given: {deny: [{role: job, actions: [sts:AssumeRole]}]}
    expect: {exit: 3, refusals: [{role: job, operation: AssumeRole}], steps: {find: not_run},
             assume_role: {reader: 0}}
  - name: S3 answers with errors, late, half, or not at all
    given:
      faults:
        - {operation: ListObjectsV2, answer: 503, times: 1}
        - {operation: GetObject, key: in/a*, cut: true, times: 1}
        - {operation: GetObject, key: in/b*, drop: true, times: 1}
        - {operation: PutObject, lose: true, times: 1}
        - {operation: AssumeRole, answer: 500, times: 1}
        - {operation: AssumeRole, delay: 0.1s}
    expect: {steps: {fetch: {outputs: {count: 2}}}, objects: {s3://out/: {count: 1}}}
  - name: S3 is gone for good
    given: {faults: [{operation: ListObjectsV2, answer: 409, code: Busy}]}
    expect: {status: failed, steps: {find: {status: failed, message: ListObjectsV2*landing}}}
  - {name: a wrong param, params: {day: tomorrow}, expect: {exit: 2, messages: [must be a date]}}
  - {name: too long, timeout: 3s, params: {wait: 60}}
  - {name: some steps alone, only: [find],
     expect: {status: succeeded, steps: {find: succeeded}, assume_role: {reader: 1}}}
"""


def test_trouble_can_be_given_and_expected(tmp_path: Path) -> None:
    report = run_cases(
        load_cases([project(tmp_path, TROUBLE)], tmp_path / "runs"), 3, tell=lambda outcome: None
    )
    assert [outcome.case.fields.name for outcome in report.outcomes] == [
        each["name"] for each in yaml.safe_load(TROUBLE)
    ], "in the file's order"
    failed = {outcome.case.fields.name: told(outcome) for outcome in report.failures}
    assert failed == {
        "too long": {"timeout": ("an end within 3 s", "the run was still running and was killed")}
    }
    assert next(outcome.seconds for outcome in report.failures) < 35, "it was not waited for"


def test_the_command_tells_failures_in_words_and_to_ci(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    cases = (
        "  - {name: bad é<, expect: {steps: {find: {outputs: {count: 7}}}}}\n"
        "  - {name: good}\n"
        "  - {name: late}\n"
    )
    project(tmp_path, cases)
    completed = rolerunner("test", "-x", "-n", "1", "--junit", "r.xml", "-v")
    assert completed.returncode == 4, completed.stderr
    assert (
        "small.test.yaml:3:12\n  steps.find.outputs.count\n      expected  7\n      was       2\n"
        in completed.stdout
    )
    assert "1 failed, 2 not run in" in completed.stdout
    assert "step_finished step=find" in completed.stdout, "the run's log is there"
    assert "ASIA" not in completed.stdout
    (case,) = ET.parse(tmp_path / "r.xml").getroot().iter("testcase")
    assert (case.get("name"), case.get("line")) == ("bad é<", "3")
    assert "expected  7" in (case.findtext("failure") or "")
    only = rolerunner("test", ".", "-k", "GOOD", "-v")
    assert only.returncode == 0, only.stdout
    assert only.stdout.splitlines()[1].startswith("PASSED small.test.yaml::good (")
    assert [
        path.name for path in tmp_path.iterdir() if path.name.startswith("rolerunner-")
    ] == [], "nothing is left behind"


@pytest.mark.once
def test_a_signal_ends_the_runs_too_and_leaves_nothing(tmp_path: Path) -> None:
    project(tmp_path, "  - {name: slow, params: {wait: 60}}\n")
    command = [sys.executable, "-m", "rolerunner", "test"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list(
        tmp_path.glob("rolerunner-test-*/0/0/got/b.txt")
    ):  # the run is in its third step, or near it
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("rolerunner-")] == []


MISTAKES = """
  - name: one
    prams: {}
    given:
      objects: {s3://landing/x: {txt: hello}}
      faults:
        - {operation: GetObjekt, answer: 503}
        - {operation: GetObject}
        - {answer: 503, cut: true}
    expect: {status: good, steps: {fetch: fialed}}
  - name: two
    only: [fnd]
    given:
      objects: {s3://landin/x: {file: none.txt}}
      without: [s3://landing/im/a.txt]
      deny:
        - {role: raeder, actions: ["*"]}
        - {role: arn:aws:iam::222233334444:role/raeder, actions: ["*"]}
    expect:
      steps: {fetc: failed, find: {outputs: {cont: 3, objects: 1}}}
      assume_role: {reder: 1}
      objects: {s3://outt/: {count: 1}}
  - {name: two, params: {dya: 2026-01-01}}
  - {name: "${{ case.name }}", expect: {objects: {s3://out/: {text: a}}}}
"""


def test_all_mistakes_are_told_at_once_with_their_place(tmp_path: Path) -> None:
    path = project(tmp_path, MISTAKES)
    with pytest.raises(SpecError) as raised:
        load_cases([path], tmp_path)
    lines = [
        f"{problem.mark.line}:{problem.mark.column}: {problem.message} ({problem.hint})"
        for problem in raised.value.problems
    ]
    spec = tmp_path / "small.yaml"
    assert lines[:-2] == [
        "5:5: unknown key 'prams' (did you mean 'params'?)",
        "7:34: unknown key 'txt' (did you mean 'text'?)",
        "9:23: 'GetObjekt' is not an operation of S3 or STS (did you mean 'GetObject'?)",
        "10:11: 'faults' must have one of answer, drop, lose, cut and delay ()",
        "11:11: 'faults' must have one of answer, drop, lose and cut, not both answer and cut ()",
        "12:22: 'status' must be one of 'succeeded', 'warning', 'failed', 'stopped', not 'good' ()",
        (
            "12:43: 'fetch' must be one of 'succeeded', 'warning', 'failed', 'skipped', "
            "'not_run', not 'fialed' (did you mean 'failed'?)"
        ),
        "14:12: there is no step 'fnd' (did you mean 'find'?)",
        "16:17: there is no bucket 'landin' (did you mean 'landing'?)",
        f"16:39: there is no file '{tmp_path / 'none.txt'}' ()",
        "17:17: the sandbox has no s3://landing/im/a.txt (did you mean 'in/a.txt'?)",
        "19:18: there is no role 'raeder' (did you mean 'reader'?)",
        (
            "20:18: the sandbox has no role arn:aws:iam::222233334444:role/raeder (did you "
            "mean 'arn:aws:iam::222233334444:role/reader'?)"
        ),
        "22:15: there is no step 'fetc' (did you mean 'fetch'?)",
        "22:46: there is no output of s3.list 'cont' (did you mean 'count'?)",
        "23:21: there is no role 'reder' (did you mean 'reader'?)",
        "24:17: there is no bucket 'outt' (did you mean 'out'?)",
        "25:12: duplicate case 'two' (the first is on line 13)",
        (
            f"25:25: the spec does not take these params: {spec}: there is no param 'dya' (did "
            "you mean 'day'?) (set 'exit: 2' if that is expected)"
        ),
    ]
    assert "'case.name'" in lines[-2]
    assert "'s3://out/' is a prefix" in lines[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "a test file must be a mapping"),
        ("version: 1\nspec: no.yaml\ncases: [{name: a}]", "there is no spec"),
        ("version: 1\nsandbox: no.yaml\ncases: [{name: a}]", "there is no sandbox file"),
        ("version: 1\nsandbox: {version: 1}\ncases: [{name: a}]", "'job_role' is missing"),
        ("version: 1\ncases: {name: a}", "'cases' must be a list"),
        ("version: 1\ncases: [3]", "'cases' must be a mapping, not 3"),
        (
            "version: 1\ncases: [{name: a, given: {files: {../x: a}}}]",
            "must be a path below the case's folder",
        ),
        ("version: 1\nparams: {day: '${{ case.x }}'}\ncases: [{name: a}]", "there is no 'case.x'"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(text: str, message: str, tmp_path: Path) -> None:
    path = project(tmp_path, "  - {name: a}\n")
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        load_cases([path], tmp_path)


def test_an_inline_sandbox_is_what_it_says(tmp_path: Path) -> None:
    path = project(tmp_path, "  - {name: a}\n")
    inline = {
        "version": 1,
        "sandbox": yaml.safe_load(SANDBOX),
        "cases": [{"name": "inline", "expect": {"steps": {"find": {"outputs": {"count": 2}}}}}],
    }
    path.write_text(json.dumps(inline))
    (tmp_path / "small.sandbox.yaml").unlink()
    (case,) = load_cases([path], tmp_path / "runs")
    assert run_case(case).mismatches == ()


def test_without_a_sandbox_file_the_spec_makes_its_own(tmp_path: Path) -> None:
    spec = SPEC.replace(
        "function: work:look,",
        "function: work:look, permissions: [{actions: s3:ListAllMyBuckets, resources: '*'}],",
    )
    path = project(
        tmp_path,
        """
  - {name: made, given: {objects: {s3://landing/in/x.txt: mine}},
     expect: {files: {got/x.txt: mine}, refusals: [], assume_role: {reader: 1}}}
  - {name: denied, given: {deny: [{role: reader, actions: [s3:GetObject]}]},
     expect: {exit: 4, refusals: [{role: reader, operation: GetObject}]}}
  - {name: wrong, params: {day: x}, expect: {exit: 2}}
""",
    )
    (tmp_path / "small.yaml").write_text(spec)
    (tmp_path / "small.sandbox.yaml").unlink()
    completed = [run_case(case) for case in load_cases([path], tmp_path / "runs")]
    assert [outcome.mismatches for outcome in completed] == [(), (), ()]


def test_test_files_are_found_below_folders_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in (
        "a/x.test.yaml",
        "b.test.yaml",
        ".venv/y.test.yaml",
        "node_modules/z.test.yaml",
        "a/x.yaml",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert find_test_files([str(tmp_path), str(tmp_path / "b.test.yaml")]) == [
        tmp_path / "a/x.test.yaml",
        tmp_path / "b.test.yaml",
    ]
    for wrong, message in (("none", "no such file"), ("a/x.yaml", "ends with .test.yaml")):
        with pytest.raises(UsageError, match=message):
            find_test_files([str(tmp_path / wrong)])


def test_cases_are_chosen_by_a_part_of_their_name(tmp_path: Path) -> None:
    cases = load_cases([project(tmp_path, "  - {name: One}\n  - {name: two}\n")], tmp_path)
    assert [case.fields.name for case in select_cases(cases, "oNe")] == ["One"]
    assert len(select_cases(cases, "SMALL.test")) == 2
    assert select_cases(cases, None) == cases


def test_faults_strike_after_so_often_and_where_they_are_meant_to() -> None:
    faults = [
        Fault(operation="GetObject", key="in/*", answer=503, after=1, times=2),
        Fault(operation="glue:GetJob", drop=True),
        Fault(cut=True, rate=0.5),
    ]
    with FaultyProxy("http://127.0.0.1:1", faults, seed=3) as proxy:
        get = [
            proxy.fault_for("s3", "GetObject", {"Bucket": "b", "Key": "in/x/y"}) for _ in range(200)
        ]
        assert [each is faults[0] for each in get[:4]] == [False, True, True, False]
        assert faults[0] not in get[4:]
        assert 60 < get.count(faults[2]) < 140
        assert proxy.fault_for("glue", "GetJob", {}) is faults[1]
        assert len(proxy.injected) == sum(each is not None for each in get) + 1


@pytest.mark.parametrize(
    ("pattern", "text", "is_there"),
    [("a*c", "xabbcx", True), ("a*c", "ca", False), ("a.c", "abc", False), ("", "x", True)],
)
def test_a_star_stands_for_anything_between(pattern: str, text: str, is_there: bool) -> None:
    assert matches_pattern(pattern, text) is is_there


@pytest.mark.once
def test_an_editors_schema_takes_the_right_and_refuses_the_wrong(
    rolerunner: Callable[..., Any],
) -> None:
    schema = json.loads(rolerunner("schema", "--test").stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    check = jsonschema.Draft7Validator(schema)
    for path in (
        *CONFIGS.glob("*.test.yaml"),
        ROOT / "framework/rolerunner/template/job.test.yaml",
    ):
        assert not list(check.iter_errors(yaml.safe_load(path.read_text()))), path
    for wrong in (
        {"name": "a", "expct": {}},
        {"name": "a", "expect": {"steps": {"find": "good"}}},
        {"name": "a", "given": {"faults": [{"answr": 1}]}},
    ):
        assert list(check.iter_errors({"version": 1, "cases": [wrong]})), wrong
