"""Secret params: their sources, the fields they may flow into, and files that stay hidden."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rolerunner import api
from rolerunner.errors import SpecError, UsageError
from rolerunner.glue.launch import entry
from rolerunner.plan.planning import plan_to_json
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import MASK, Secret
from rolerunner.spec.source import read_params_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rolerunner.errors import Problem

HEAD = (
    "version: 1\n"
    "name: s\n"
    "params: {pw: {type: string, secret: true, default: hunter2-blue}, x: {default: x}}\n"
    "roles: {r: 'arn:aws:iam::444455556666:role/reader'}\n"
)


def problems(tmp_path: Path, text: str) -> Sequence[Problem]:
    (tmp_path / "spec.yaml").write_text(text)
    (tmp_path / "job.py").write_text("def f(context, **values): return {'out': 'x'}\n")
    with pytest.raises(SpecError) as raised:
        api.load(tmp_path / "spec.yaml")
    return raised.value.problems


@pytest.mark.parametrize(
    ("step", "field"),
    [
        (
            (
                '{id: a, action: s3.write, role: r, target: "s3://bucket/k", '
                'text: "${{ params.pw | upper }}"}'
            ),
            "text",
        ),
        (
            '{id: a, action: s3.write, role: r, target: "s3://bucket/${{ params.pw }}", text: x}',
            "target",
        ),
        (
            (
                '{id: a, action: s3.write, role: r, target: "s3://bucket/k", text: x, '
                'metadata: {m: "a-${{ params.pw }}"}}'
            ),
            "m",
        ),
        (
            (
                '{id: a, action: s3.write, role: r, target: "s3://bucket/k", text: x, '
                "tags: {t: \"${{ params['pw'] }}\"}}"
            ),
            "t",
        ),
        (
            (
                '{id: a, action: s3.write, role: r, target: "s3://bucket/k", '
                'json: {deep: [{er: "${{ params.pw }}"}]}}'
            ),
            "er",
        ),
        (
            (
                '{id: a, action: s3.list, role: r, source: "s3://bucket/", '
                'include: ["${{ params.pw }}"]}'
            ),
            "include",
        ),
        (
            (
                '{id: a, action: python.call, function: "job.py:f", '
                "for_each: \"${{ params.pw | split('-') }}\"}"
            ),
            "for_each",
        ),
        ('{id: a, action: python.call, function: "${{ params.pw }}"}', "function"),
        (
            '{id: a, action: python.call, function: "job.py:f", description: "${{ params.pw }}"}',
            "description",
        ),
        (
            '{id: a, action: python.call, function: "job.py:f", timeout: "${{ params.pw }}"}',
            "timeout",
        ),
        (
            (
                '{id: a, action: python.call, role: r, function: "job.py:f", '
                'permissions: [{actions: "s3:GetObject", resources: '
                '"arn:aws:s3:::${{ params.pw }}"}]}'
            ),
            "resources",
        ),
        (
            (
                "{id: a, action: aws.call, role: r, service: sqs, operation: ListQueues, "
                'region: "${{ params.pw }}"}'
            ),
            "region",
        ),
    ],
)
def test_a_secret_may_not_flow_where_it_would_be_shown_or_stored(
    step: str, field: str, tmp_path: Path
) -> None:
    found = problems(tmp_path, f"{HEAD}steps:\n  - {step}\n")
    assert any(
        each.message == f"'params.pw' is a secret, which cannot flow into '{field}'"
        and each.mark.line == 6
        for each in found
    ), found
    assert "hunter2" not in redact_text(str(found))


@pytest.mark.parametrize(
    "section",
    [
        (
            "roles: {r: {arn: 'arn:aws:iam::444455556666:role/reader', "
            "external_id: '${{ params.pw }}'}}"
        ),
        "roles: {r: 'arn:aws:iam::444455556666:role/${{ params.pw }}'}",
        "state: {location: '/tmp/${{ params.pw }}'}",
    ],
)
def test_roles_and_state_take_no_secret(section: str, tmp_path: Path) -> None:
    head = HEAD if section.startswith("state") else HEAD[: HEAD.index("roles:")]
    found = problems(
        tmp_path,
        f"{head}{section}\nsteps:\n  - {{id: a, action: python.call, function: 'job.py:f'}}\n",
    )
    assert any("is a secret, which cannot flow into" in each.message for each in found), found


@pytest.mark.parametrize("read", ["steps.a.out", "steps.a.out | upper", "steps.a.password"])
def test_secret_outputs_may_not_flow_there_either(read: str, tmp_path: Path) -> None:
    steps = (
        '  - {id: a, action: python.call, function: "job.py:f", secret_outputs: [out]}\n'
        '  - {id: b, action: s3.write, role: r, target: "s3://bucket/k", '
        'text: "${{ READ }}"}\n'.replace("READ", read)
    )
    name = read.partition(" ")[0]
    assert [each.message for each in problems(tmp_path, f"{HEAD}steps:\n{steps}")] == [
        f"'{name}' is a secret, which cannot flow into 'text'"
    ]


def test_secrets_flow_into_arguments_parameters_and_customer_keys(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("def f(context, **values): return values\n")
    (tmp_path / "spec.yaml").write_text(
        HEAD.replace("hunter2-blue", "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=") + "steps:\n"
        '  - {id: a, action: python.call, function: "job.py:f", '
        'when: "${{ params.pw != \'\' }}", arguments: {p: "Bearer ${{ params.pw }}", '
        'n: ["${{ params.pw }}"]}}\n'
        "  - {id: b, action: aws.call, role: r, service: sqs, operation: SendMessage, "
        'parameters: {QueueUrl: q, MessageBody: "${{ params.pw }}"}}\n'
        '  - {id: c, action: s3.read, role: r, source: "s3://bucket/k", '
        'customer_key: "${{ params.pw }}"}\n'
        '  - {id: d, action: s3.write, role: r, target: "s3://bucket/k", text: x, '
        'encryption: {type: SSE-C, customer_key: "${{ params.pw }}"}}\n'
    )
    job = api.load(tmp_path / "spec.yaml")
    assert isinstance(job.params["pw"], Secret)
    shown = json.dumps(plan_to_json(api.plan(job)))
    assert "QUFB" not in shown
    assert shown.count(MASK) == 5


def test_a_secret_is_a_string(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        (
            "version: 1\n"
            "name: s\n"
            "params: {pin: {type: integer, secret: true}}\n"
            "steps: [{id: a, action: python.call, function: 'job.py:f'}]\n"
        ),
    )
    assert [each.message for each in found] == [
        "the param 'pin' is secret, so its type must be string, not integer"
    ]


@pytest.mark.parametrize("name", ["nothing", "count"])
def test_secret_outputs_are_outputs(name: str, tmp_path: Path) -> None:
    step = (
        f'{{id: a, action: s3.list, role: r, source: "s3://bucket/", secret_outputs: [{name}, '
        "objects]}"
    )
    found = [each.message for each in problems(tmp_path, f"{HEAD}steps:\n  - {step}\n")]
    assert found == [
        *(["s3.list has no output 'nothing'"] if name == "nothing" else []),
        "'objects' is a list of objects, which cannot be a secret",
    ]


RUNS = HEAD.replace("default: hunter2-blue", "required: true") + (
    "steps:\n"
    '  - {id: a, action: python.call, function: "job.py:f", '
    'arguments: {pw: "${{ params.pw }}", x: "${{ params.x }}"}}\n'
)


def run(folder: Path, *arguments: str, command: str = "run") -> subprocess.CompletedProcess[str]:
    (folder / "spec.yaml").write_text(RUNS)
    (folder / "job.py").write_text(
        "import pathlib\ndef f(context, pw, x): pathlib.Path('got').write_text(pw + '|' + x)\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "rolerunner", command, "spec.yaml", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )


def test_values_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "pw.txt").write_text("hunter2-blue\n")
    completed = run(tmp_path, "-p", "pw=@pw.txt", "-p", "x=@@home")
    assert completed.returncode == 0, completed.stderr
    assert (tmp_path / "got").read_text() == "hunter2-blue|@home"
    assert "warning" not in completed.stderr
    (tmp_path / "params.json").write_text('{"pw": "hunter2-green"}')
    assert run(tmp_path, "--params", "params.json").returncode == 0
    assert (tmp_path / "got").read_text() == "hunter2-green|x"


@pytest.mark.parametrize("command", ["run", "plan", "graph"])
def test_a_secret_on_the_command_line_is_warned_of(command: str, tmp_path: Path) -> None:
    completed = run(tmp_path, "-p", "pw=hunter2-blue", command=command)
    assert completed.returncode == 0, completed.stderr
    assert (
        "the param 'pw' is secret, and other users of this machine can read command lines"
        in completed.stderr
    )
    assert "hunter2" not in completed.stdout + completed.stderr


def test_a_missing_secret_says_how_it_is_given(tmp_path: Path) -> None:
    completed = run(tmp_path)
    assert completed.returncode == 2
    assert "set it with -p pw=@FILE or --params FILE" in completed.stderr


def test_a_short_secret_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "pw.txt").write_text("abc")
    completed = run(tmp_path, "-p", "pw=@pw.txt", command="plan")
    assert "the secret param 'pw' has fewer than 4 characters" in completed.stderr
    assert "abc" not in completed.stdout


def test_glue_takes_no_secret_as_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    (tmp_path / "spec.yaml").write_text(RUNS)
    (tmp_path / "job.py").write_text("def f(context, pw, x): ...\n")
    with pytest.raises(entry.JobFailed) as raised:
        entry.main(
            ["run_spec.py", "--job_spec", str(tmp_path / "spec.yaml"), "--pw", "hunter2-blue"]
        )
    assert "the param 'pw' is secret and may not be given as a job argument" in str(raised.value)
    assert "hunter2" not in capsys.readouterr().out


def test_glue_params_hold_no_secret(tmp_path: Path) -> None:
    glue = "glue: {role: g, artifacts: 's3://bucket/a/', params: {pw: hunter2-blue}}\n"
    found = problems(
        tmp_path, f"{HEAD}{glue}steps: [{{id: a, action: python.call, function: 'job.py:f'}}]\n"
    )
    assert [each.message for each in found] == [
        "the param 'pw' is secret and cannot be an argument of a Glue job"
    ]
    assert "hunter2" not in found[0].line


# files that are read beside the spec

NEEDLE = "green-lantern-0815"
TEXTS = [
    f"{NEEDLE}\n",
    f"{NEEDLE}: 1\n",
    f"# notes\nuser=u password={NEEDLE}\n",
    f"one: x\n: {NEEDLE}: y\n",
    f"a: [{NEEDLE}\n",
    f"a: *{NEEDLE}\n",
    f"a: !{NEEDLE} x\n",
    f"{NEEDLE}: 1\n{NEEDLE}: 2\n",
    f"- {NEEDLE}\n",
    f'a: "{NEEDLE}\n',
    f"\t{NEEDLE}: x\n",
    f"a: {NEEDLE}\n---\nb: x\n",
    f"%{NEEDLE}\n---\na: x\n",
    f"roles: {NEEDLE}\n",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("place", ["below", "params", "value", "sandbox"])
def test_no_line_of_another_file_is_shown(place: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(text)
    include = "include: [other]\n" if place == "below" else ""
    (tmp_path / "job.py").write_text("def f(context): ...\n")
    (tmp_path / "spec.yaml").write_text(
        "version: 1\n"
        "name: s\n"
        "params: {n: {type: integer, default: 1}}\n"
        f"{include}steps: [{{id: a, action: python.call, function: 'job.py:f'}}]\n"
    )
    more = {
        "below": [],
        "params": ["--params", "other"],
        "value": ["-p", "n=@other"],
        "sandbox": ["--sandbox", "other"],
    }[place]
    command = "run" if place == "sandbox" else "validate"
    forms = (
        [["--format", form] for form in ("text", "json", "github")] if place == "below" else [[]]
    )
    for form in forms:
        completed = subprocess.run(
            [sys.executable, "-m", "rolerunner", command, "spec.yaml", *more, *form],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert completed.returncode == 2, completed.stdout + completed.stderr
        assert NEEDLE not in completed.stdout + completed.stderr


@pytest.mark.parametrize(
    "name",
    [
        "../roles.yaml",
        "sub/../../roles.yaml",
        "ABSOLUTE",
        "link.yaml",
        "linked/roles.yaml",
        "~/roles.yaml",
        "s3://bucket/roles.yaml",
    ],
)
def test_include_reads_below_the_spec_alone(name: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "sub").mkdir(parents=True)
    (tmp_path / "roles.yaml").write_text("roles: {r: 'arn:aws:iam::444455556666:role/reader'}\n")
    (project / "link.yaml").symlink_to(tmp_path / "roles.yaml")
    (project / "linked").symlink_to(tmp_path)
    found = problems(
        project,
        (
            "version: 1\n"
            "name: s\n"
            f"include: ['{name.replace('ABSOLUTE', str(tmp_path / 'roles.yaml'))}']\n"
            "steps: [{id: a, action: python.call, function: 'job.py:f'}]\n"
        ),
    )
    assert len(found) == 1
    assert "cannot be included" in found[0].message


def test_include_follows_links_within_the_folder(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "roles.yaml").write_text(
        "roles: {r: 'arn:aws:iam::444455556666:role/reader'}\n"
    )
    (tmp_path / "link.yaml").symlink_to("shared/roles.yaml")
    (tmp_path / "job.py").write_text("def f(context): ...\n")
    (tmp_path / "spec.yaml").write_text(
        "version: 1\n"
        "name: s\n"
        "include: [link.yaml]\n"
        "steps: [{id: a, action: python.call, role: r, function: 'job.py:f'}]\n"
    )
    assert api.load(tmp_path / "spec.yaml").roles["r"].name == "r"


def test_a_wrong_value_from_a_file_is_named_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(f"n: 1\nday: {NEEDLE}\n")
    (tmp_path / "spec.yaml").write_text(
        "version: 1\n"
        "name: s\n"
        "params: {day: {type: date}, n: {type: integer}}\n"
        "steps: [{id: a, action: python.call, function: 'm:f'}]\n"
    )
    with pytest.raises(UsageError) as raised:
        api.load(tmp_path / "spec.yaml", read_params_file(str(tmp_path / "params.yaml")))
    assert (
        "the param 'day' must be a date such as 2026-01-31, "
        f"not the value at {tmp_path / 'params.yaml'}:2:6"
    ) in str(raised.value)
