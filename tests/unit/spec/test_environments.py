"""Environments change values of a spec; their mistakes have the places of the changes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from rolerunner import api
from rolerunner.errors import SpecError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.model import Job

ARN = "arn:aws:iam::111122223333:role"
LAKE_FORMATION = "arguments: {--enable-lakeformation-fine-grained-access: 'true'}"
SPEC = f"""\
version: 1
name: nightly
include: [shared.yaml]
params:
  stage: {{type: choice, choices: [dev, prod], required: true}}
  days: {{type: integer, default: 3}}
  token: {{secret: true, default: base-token}}
roles:
  reader: {ARN}/reader
  writer: {{arn: "{ARN}/writer", external_id: ex-1, session_policy: auto}}
state: {{location: s3://ops/state/, role: writer}}
glue:
  artifacts: s3://ops/jobs/
  params: {{days: 2}}
  tags: {{team: orders}}
environments:
ENVIRONMENTS
steps:
  - {{id: a, action: s3.list, role: reader, source: "s3://in-${{{{ params.stage }}}}/"}}
  - {{id: b, action: s3.list, role: writer, source: "s3://out/"}}
  - {{id: c, action: s3.list, role: shared, source: "s3://out/"}}
"""
FIRST = SPEC[: SPEC.index("ENVIRONMENTS")].count("\n") + 1
"""The line of the first environment."""


def load(tmp_path: Path, environments: str, env: str = "dev") -> Job:
    return api.load(write(tmp_path, environments), complete=False, env=env)


def write(tmp_path: Path, environments: str) -> Path:
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC.replace("ENVIRONMENTS", environments))
    (tmp_path / "shared.yaml").write_text(f"roles: {{shared: {ARN}/shared}}\n")
    return path


def find_mistakes(tmp_path: Path, environments: str, env: str = "") -> list[str]:
    problems = api.find_problems(write(tmp_path, environments), env=env)
    lines = environments.splitlines()
    found = []
    for problem in problems:
        number = problem.mark.line - FIRST
        in_overlay = problem.mark.file.endswith("nightly.yaml") and 0 <= number < len(lines)
        place = lines[number][problem.mark.column - 1 :] if in_overlay else str(problem.mark.line)
        if in_overlay:
            place = place.split(":")[0].split(",")[0].strip(" {}")
        hint = f" ({problem.hint})" if problem.hint else ""
        found.append(f"{place}| {problem.message}{hint}")
    return found


def test_values_of_an_environment_replace_those_of_the_spec(tmp_path: Path) -> None:
    job = load(
        tmp_path,
        f"  dev:\n    params: {{stage: dev, days: 1, token: dev-token-1}}\n"
        f"    roles: {{reader: {ARN}/dev-reader}}\n"
        "    state: {location: s3://dev/state/}\n"
        "    glue: {job_name: nightly-dev, params: {days: null, stage: dev}, tags: {team: dev}}",
    )
    assert (job.environment, job.environments) == ("dev", ("dev",))
    assert (job.params["stage"], job.params["days"]) == ("dev", 1)
    assert job.params["token"] == "dev-token-1"
    assert job.roles["reader"].arn == f"{ARN}/dev-reader"
    assert job.state is not None
    assert (job.state.location, job.state.role) == ("s3://dev/state/", job.roles["writer"])
    assert job.glue is not None
    assert (job.glue.job_name, str(job.glue.artifacts)) == ("nightly-dev", "s3://ops/jobs/")
    assert (job.glue.params, job.glue.tags) == ({"stage": "dev"}, {"team": "dev"})


def test_the_spec_alone_is_what_it_was(tmp_path: Path) -> None:
    job = load(tmp_path, f"  dev: {{params: {{stage: dev}}, roles: {{reader: {ARN}/x}}}}", env="")
    assert (job.environment, job.environments) == ("", ("dev",))
    assert "stage" not in job.params
    assert job.roles["reader"].arn == f"{ARN}/reader"
    with pytest.raises(UsageError, match="the param 'stage' is required"):
        api.load(tmp_path / "nightly.yaml")


def test_null_takes_a_key_away(tmp_path: Path) -> None:
    job = load(
        tmp_path,
        "  dev: {state: null, glue: null, params: {days: null}, "
        "roles: {writer: {external_id: null}}}",
    )
    assert (job.state, job.glue, job.params["days"]) == (None, None, None)
    assert job.roles["writer"].external_id == ""


def test_null_for_what_the_spec_does_not_have_changes_nothing(tmp_path: Path) -> None:
    job = load(tmp_path, "  dev: {glue: {timeout: null, job_name: null, result: null}}")
    assert job.glue is not None
    assert job.glue.job_name == ""


def test_the_list_of_who_is_told_is_replaced(tmp_path: Path) -> None:
    topic = "arn:aws:sns:eu-west-1:111122223333:ops"
    one = f'{{on: failed, sns: "{topic}", role: job}}'
    path = write(
        tmp_path,
        "  dev: {notify: null, glue: null}\n"
        f'  prod: {{notify: [{{on: failed, sns: "{topic}-prod", role: reader}}]}}\n'
        "  odd: {notify: [{on: never, sns: x}]}",
    )
    path.write_text(
        path.read_text().replace(
            "steps:", f"notify: [{one}, {one.replace('failed', 'warning')}]\nsteps:"
        )
    )
    given = {"stage": "dev"}
    jobs = {env: api.load(path, given, env=env) for env in ("", "dev", "prod")}
    assert [len(job.notify) for job in jobs.values()] == [2, 0, 1]
    found = api.find_problems(path)
    assert {each.mark.line for each in found} == {FIRST + 2}
    assert all(each.message.startswith("in the environment 'odd': ") for each in found)


def test_an_arn_keeps_the_other_settings_of_a_role(tmp_path: Path) -> None:
    """A session policy or an external id does not get lost by a change of the ARN."""
    job = load(
        tmp_path,
        f"  dev: {{roles: {{writer: {ARN}/dev-writer, reader: {{external_id: ex-9}}}}}}",
    )
    writer, reader = job.roles["writer"], job.roles["reader"]
    assert (writer.arn, writer.external_id, writer.policy) == (f"{ARN}/dev-writer", "ex-1", "auto")
    assert (reader.arn, reader.external_id) == (f"{ARN}/reader", "ex-9")


@pytest.mark.parametrize("change", [f"{ARN}/dev-shared", f'{{arn: "{ARN}/dev-shared"}}'])
def test_roles_of_included_files_can_be_changed(tmp_path: Path, change: str) -> None:
    job = load(tmp_path, f"  dev: {{roles: {{shared: {change}}}}}")
    assert job.roles["shared"].arn == f"{ARN}/dev-shared"


def test_a_missing_param_names_the_environments_that_set_it(tmp_path: Path) -> None:
    changes = "  dev: {params: {stage: dev}}\n  test: {params: {days: 1}}\n"
    changes += "  prod: {params: {stage: {default: prod}}}\n  bare: {params: {stage: null}}"
    with pytest.raises(UsageError, match=r"stage VALUE\), or choose --env dev or --env prod$"):
        api.load(write(tmp_path, changes))
    with pytest.raises(UsageError, match=r"stage VALUE\)$"):
        api.load(write(tmp_path, changes), env="bare")


def test_a_param_can_become_required(tmp_path: Path) -> None:
    path = write(tmp_path, "  dev: {params: {days: {required: true, default: null}, stage: dev}}")
    with pytest.raises(UsageError, match="the param 'days' is required"):
        api.load(path, env="dev")


def test_a_secret_has_another_source_in_an_environment(tmp_path: Path) -> None:
    source = '{from: "ssm:/dev/token", role: reader}'
    job = load(tmp_path, f"  dev: {{params: {{token: {source}}}}}\n  prod: {{}}")
    assert [(each.name, each.role.name) for each in job.secret_sources] == [
        ("/dev/token", "reader")
    ]
    path = write(tmp_path, "  dev: {params: {token: plain-token}}")
    path.write_text(path.read_text().replace("default: base-token", source[1:-1]))
    assert api.load(path, {"stage": "dev"}).secret_sources
    job = api.load(path, {"stage": "dev"}, env="dev")
    assert (job.secret_sources, job.params["token"]) == ((), "plain-token")


def test_an_environment_may_be_empty(tmp_path: Path) -> None:
    assert load(tmp_path, "  dev:\n  prod: {}", env="prod").environments == ("dev", "prod")


def test_anchors_merges_and_aliases_work(tmp_path: Path) -> None:
    environments = (
        "  dev: &dev {params: &p {stage: dev, days: 7}, glue: {job_name: n-dev}}\n"
        "  test: {<<: *dev, glue: {job_name: n-test}}\n"
        "  prod: {params: *p}"
    )
    assert find_mistakes(tmp_path, environments) == []
    for env, name in (("dev", "n-dev"), ("test", "n-test"), ("prod", "")):
        job = api.load(tmp_path / "nightly.yaml", env=env)
        assert job.glue is not None
        assert (job.params["days"], job.glue.job_name) == (7, name)


@pytest.mark.parametrize(
    ("environments", "expected"),
    [
        (
            "  dev: {steps: [], param: {}}",
            [
                (
                    "steps| an environment cannot change 'steps' "
                    "(it can change params, roles, state, notify, glue, telemetry)"
                ),
                "param| an environment cannot change 'param' (did you mean 'params'?)",
            ],
        ),
        (
            "  dev: {params: {stag: dev}}",
            [
                (
                    "stag| in the environment 'dev': there is no param 'stag' to change "
                    "(did you mean 'stage'?)"
                )
            ],
        ),
        (
            "  dev: {params: {token: {secret: false}}}",
            [
                (
                    "secret| in the environment 'dev': an environment cannot change 'secret' of a "
                    "param (it can change default, required, from, role, kms_key)"
                )
            ],
        ),
        (
            "  dev: {params: {stage: test}}",
            [
                (
                    "test| in the environment 'dev': the default of 'stage' must be one of dev, "
                    "prod, not 'test'"
                )
            ],
        ),
        (
            f"  dev: {{roles: {{readr: {ARN}/x}}}}",
            [
                (
                    "readr| in the environment 'dev': there is no role 'readr' to change "
                    "(did you mean 'reader'?)"
                )
            ],
        ),
        (
            "  dev: {roles: {reader: not-an-arn}}",
            ["not-an-arn| in the environment 'dev': 'not-an-arn' is not a role ARN such as arn"],
        ),
        (
            "  dev: {roles: {shared: {durations: 1h}}}",
            [
                (
                    "durations| in the environment 'dev': unknown key 'durations' "
                    "(did you mean 'duration'?)"
                )
            ],
        ),
        (
            "  dev: {glue: {shedule: null}}",
            ["shedule| in the environment 'dev': unknown key 'shedule'"],
        ),
        (
            "  dev: {roles: {writer: {externalid: null}}}",
            ["externalid| in the environment 'dev': unknown key 'externalid'"],
        ),
        (
            "  dev: {state: {location: null}}",
            ["null| in the environment 'dev': 'location' is missing"],
        ),
        (
            "  dev: {state: {role: null}}",
            ["null| in the environment 'dev': 'state' in S3 needs a 'role': an alias"],
        ),
        (
            "  dev: {glue: {workers: 3}}",
            [
                (
                    "3| in the environment 'dev': 'workers' does not apply to the 'runtime' "
                    "pythonshell, which takes 'capacity'"
                )
            ],
        ),
        (
            "  dev: {state: {location: kept-here}}",
            ["kept-here| in the environment 'dev': 'role' of 'state' requires a 'location' in S3"],
        ),
        (
            "  dev: {glue: {tags: {{ stage }}}}",
            ["a key must be plain text"],
        ),
        (
            '  dev: {params: {stage: "{{ stage }}"}}',
            [
                "in the environment 'dev': '{{ stage }}' is not replaced",
            ],
        ),
        (
            '  dev: {roles: {reader: "arn:aws:iam::${{ params.acount }}:role/x"}}',
            ["in the environment 'dev': there is no param 'acount'"],
        ),
        ("  dev: {params: null}", ["null| 'params' must be a mapping, not nothing"]),
        ("  dev: {roles: []}", ["[]| 'roles' must be a mapping, not a list"]),
        ("  dev: 5", ["5| the environment 'dev' must be a mapping, not 5"]),
        ("  - dev", ["- dev| 'environments' must be a mapping of names, not a list"]),
        (
            '  "a/../b": {}\n  "${{ x }}": {}\n  "dev#1": {}\n  "": {}',
            ["is not a name"] * 4,
        ),
        ("  dev: {}\n  dev: {}", ["dev| duplicate key 'dev'"]),
        ("  dev: {glue: {}, glue: {}}", ["glue| duplicate key 'glue'"]),
    ],
)
def test_a_mistake_has_the_place_of_the_change(
    tmp_path: Path, environments: str, expected: list[str]
) -> None:
    found = find_mistakes(tmp_path, environments)
    assert len(found) == len(expected), found
    for message, part in zip(found, expected):
        assert part in message


def test_a_removed_role_is_named_where_a_step_uses_it(tmp_path: Path) -> None:
    (found,) = find_mistakes(tmp_path, "  dev: {roles: {reader: null}}")
    assert "in the environment 'dev': there is no role 'reader' (the environment 'dev' " in found
    assert f"nightly.yaml:{FIRST}:17)" in found


def test_a_mistake_is_reported_once_with_its_environments(tmp_path: Path) -> None:
    environments = "  a: &x {roles: {reader: null}}\n  b: *x\n  c: {}\n  d: {params: {stage: no}}"
    path = write(tmp_path, environments)
    path.write_text(path.read_text().replace("s3://out/", "s4://out/"))
    messages = [problem.message for problem in api.find_problems(path)]
    assert len([each for each in messages if "s4://out/" in each]) == 2  # of two steps
    assert [each for each in messages if "there is no role" in each] == [
        "in the environment 'a': there is no role 'reader'",
        "in the environment 'b': there is no role 'reader'",
    ]  # their hints differ
    assert len(messages) == 5


def test_the_same_mistake_of_two_environments_is_one(tmp_path: Path) -> None:
    other = ARN.replace("1111", "4444")
    environments = f"  a: {{roles: {{writer: {other}/w}}}}\n  b: {{roles: {{writer: {other}/w}}}}"
    path = write(tmp_path, f"{environments}\n  c: {{}}")
    text = path.read_text()
    path.write_text(text.replace("external_id: ex-1", 'account: "111122223333"'))
    (found,) = api.find_problems(path)
    assert found.message.startswith("in the environments 'a' and 'b': the role 'writer' has the ")
    assert "account" in found.line
    assert api.find_problems(path, env="c") == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prd", "there is no environment 'prd' (did you mean 'prod'?)"),
        ("x", "there is no environment 'x' (known: dev, prod)"),
        ("../prod", "there is no environment '../prod' (did you mean 'prod'?)"),
    ],
)
def test_an_unknown_environment_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, "  dev: {}\n  prod: {}", env=name)
    assert message in str(caught.value)


def test_a_spec_without_environments_has_none_to_choose(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(SPEC[: SPEC.index("environments:")] + SPEC[SPEC.index("steps:") :])
    (tmp_path / "shared.yaml").write_text(f"roles: {{shared: {ARN}/shared}}\n")
    with pytest.raises(UsageError, match="has no environments: remove --env dev"):
        api.load(path, env="dev")
    sys.modules.pop("rolerunner.spec.environments", None)
    assert api.load(path, {"stage": "dev"}).environments == ()
    assert "rolerunner.spec.environments" not in sys.modules


def test_a_secret_default_is_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path, "  dev: {params: {stage: dev, token: {default: [hunter2-blue]}}}")
    with pytest.raises(SpecError) as caught:
        api.load(path, env="dev")
    assert "the default of 'token' does not fit" in str(caught.value)
    assert "hunter2" not in "".join(f"{each}{each.line}" for each in caught.value.problems)


def test_documents_have_the_values_of_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, f"  dev: {{roles: {{shared: {ARN}/a, reader: {ARN}/b}}}}")
    spec, shared = api.load_documents(path, env="dev")
    assert (spec.data["roles"]["reader"], shared.data["roles"]["shared"]) == (
        f"{ARN}/b",
        f"{ARN}/a",
    )
    assert "environments" not in spec.data
    problem = shared.problem(("roles", "shared"), "wrong")
    assert problem.mark.line == FIRST
    assert "environments" not in problem.line
    assert problem.line.startswith("  dev: {roles")


@pytest.mark.parametrize(
    ("glue", "change"),
    [
        ("capacity: 1", "runtime: glue-5.1"),
        ("runtime: glue-5.1, workers: 3", "runtime: pythonshell"),
        ("runtime: glue-5.1, execution_class: FLEX, worker_type: G.1X", "worker_type: G.4X"),
        (f"job_name: {'n' * 255}", "schedule: cron(0 3 * * ? *)"),
        (f"job_name: {'n' * 255}", "after: {jobs: [a]}"),
        ("notify_delay_after: 1h", "timeout: 30m"),
        ("after: {jobs: [a]}", "schedule: cron(0 3 * * ? *)"),
        (f"runtime: glue-5.1, workers: 4, {LAKE_FORMATION}", "workers: 3"),
        (f"runtime: glue-5.1, workers: 4, {LAKE_FORMATION}", "runtime: glue-4.0"),
    ],
)
def test_a_setting_that_does_not_fit_the_others_has_the_place_of_the_change(
    glue: str, change: str, tmp_path: Path
) -> None:
    path = tmp_path / "nightly.yaml"
    path.write_text(
        "version: 1\nname: nightly\n"
        f"glue: {{role: {ARN}/glue, artifacts: s3://artifacts/, {glue}}}\n"
        f"environments:\n  dev: {{glue: {{{change}}}}}\n"
        "steps:\n  - {id: list, action: s3.list, role: job, source: s3://bucket/}\n"
    )
    api.load(path)
    with pytest.raises(SpecError) as caught:
        api.load(path, env="dev")
    (found,) = caught.value.problems
    key, _, value = change.partition(": ")
    line = path.read_text().splitlines()[found.mark.line - 1]
    assert found.mark.line == 5, found
    assert line[found.mark.column - 1 :].startswith((key, value))
