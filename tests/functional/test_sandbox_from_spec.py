"""``run --sandbox`` without a file derives the sandbox from the spec and the printed policies."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rolerunner import api, sandbox
from rolerunner.actions import registry
from rolerunner.cli import main
from rolerunner.errors import RolesRefused
from rolerunner.model import RoleArn, S3Uri
from rolerunner.policies.least_privilege import JobRoleUses, derive_policies, drop_run_params
from rolerunner.sandbox.from_spec import generate_world
from tests.conftest import CONFIGS, ROOT, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.once
# statements that these runs do without, and why
NOT_USED = {
    "logs:CreateLogGroup": "Glue writes the log",
    "s3:ListBucket test_path/some_demo_file.gz": "only tells a missing object from a refusal",
}
ORDERS = "order_id,customer,country,amount,currency\n1001,Ada,gb,12.50,GBP\n1002,Grace,us,,USD\n"


def generate_config_world(name: str, puts: dict[S3Uri, Path], **params: str) -> sandbox.World:
    job = api.load(CONFIGS / f"{name}.yaml", params)
    return generate_world(api.plan(job), api.plan(drop_run_params(job, ())), registry(), puts).world


@pytest.fixture(scope="module", params=["blog_cross_role", "partner_exchange"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, sandbox.World, sandbox.Sandbox]]:
    orders = tmp_path_factory.mktemp("orders") / "north.csv.gz"
    orders.write_bytes(gzip.compress(ORDERS.encode()))
    puts = (
        {S3Uri("partner-landing", "orders/2026-01-01/north.csv.gz"): orders}
        if request.param == "partner_exchange"
        else {}
    )
    of_spec = generate_config_world(request.param, puts)
    with sandbox.start_sandbox(of_spec) as running:
        yield request.param, of_spec, running


def run_config(name: str, running: sandbox.Sandbox, tmp_path: Path) -> str:
    """Returns how a run of the config ends; ``refused`` where a role or a step is."""
    param = "target" if name == "blog_cross_role" else "workdir"
    job = api.load(CONFIGS / f"{name}.yaml", {param: f"{tmp_path}/"})
    try:
        result = api.run(job, identity=identity_of(running))
    except RolesRefused:
        return "refused"
    errors = {step.error.type for step in result.steps if step.error is not None}
    return "refused" if errors else result.status


def test_a_config_runs_under_exactly_the_policies_that_are_printed(
    world: tuple[str, sandbox.World, sandbox.Sandbox], tmp_path: Path
) -> None:
    name, of_spec, running = world
    plan = api.plan(drop_run_params(api.load(CONFIGS / f"{name}.yaml"), ()))
    printed = {
        role.arn: role.policy()["Statement"]
        for role in derive_policies(plan, JobRoleUses(of_spec.job_role))
    }
    there = {}
    for role in of_spec.roles:
        arn = RoleArn.parse(role.arn)
        iam = running.client("iam", arn.account)
        assert iam.list_role_policies(RoleName=arn.name)["PolicyNames"] == ["permissions"]
        there[role.arn] = iam.get_role_policy(RoleName=arn.name, PolicyName="permissions")[
            "PolicyDocument"
        ]["Statement"]
    assert there == printed
    assert run_config(name, running, tmp_path) == "succeeded"


def test_with_each_statement_taken_away_something_is_refused(
    world: tuple[str, sandbox.World, sandbox.Sandbox], tmp_path: Path
) -> None:
    name, of_spec, running = world
    tried = 0
    for role in of_spec.roles:
        arn = RoleArn.parse(role.arn)
        iam = running.client("iam", arn.account)
        for left_out in role.permissions:
            action = (
                left_out["Action"] if isinstance(left_out["Action"], str) else left_out["Action"][0]
            )
            prefix = left_out.get("Condition", {}).get("StringLike", {}).get("s3:prefix", [""])[0]
            if action in NOT_USED or f"{action} {prefix}" in NOT_USED:
                continue
            rest = [each for each in role.permissions if each is not left_out] or [
                {"Effect": "Allow", "Action": "s3:GetBucketAcl", "Resource": "*"}
            ]
            put(iam, arn.name, rest)
            assert run_config(name, running, tmp_path) == "refused", left_out
            put(iam, arn.name, role.permissions)
            tried += 1
        trust = iam.get_role(RoleName=arn.name)["Role"]["AssumeRolePolicyDocument"]
        if role.arn != of_spec.job_role:
            iam.update_assume_role_policy(
                RoleName=arn.name,
                PolicyDocument=json.dumps(
                    {**trust, "Statement": [{**trust["Statement"][0], "Effect": "Deny"}]}
                ),
            )
            assert run_config(name, running, tmp_path) == "refused", trust
            iam.update_assume_role_policy(RoleName=arn.name, PolicyDocument=json.dumps(trust))
    assert tried >= 4
    assert run_config(name, running, tmp_path) == "succeeded", "all is there again"


def put(iam: Any, name: str, statements: list[dict[str, Any]]) -> None:
    iam.put_role_policy(
        RoleName=name,
        PolicyName="permissions",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The configs without their sandbox files."""
    (tmp_path / "configs").mkdir()
    for name in ("blog_cross_role", "partner_exchange"):
        shutil.copy(CONFIGS / f"{name}.yaml", tmp_path / "configs")
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    return tmp_path


def test_the_command_says_what_it_made(project: Path, rolerunner: Callable[..., Any]) -> None:
    (project / "north.csv.gz").write_bytes(gzip.compress(ORDERS.encode()))
    command = (
        "run",
        "configs/partner_exchange.yaml",
        "--sandbox",
        "-p",
        f"workdir={project}/work/",
        "--result",
        "result.json",
    )
    completed = rolerunner(
        *command, "--put", "s3://partner-landing/orders/2026-01-01/=north.csv.gz"
    )
    assert completed.returncode == 0, completed.stdout
    assert "is a sample object" not in completed.stderr
    outputs = {
        step["id"]: step["outputs"]
        for step in json.loads((project / "result.json").read_text())["steps"]
    }
    assert outputs["clean"] == {"kept": 1, "dropped": 1}
    completed = rolerunner(
        *command, "-p", "run_date=2026-02-02", "--put", "s3://elsewhere/x=north.csv.gz"
    )
    assert completed.returncode == 0, completed.stdout
    said = completed.stderr.splitlines()
    assert (
        "sandbox: derived from the spec with 'rolerunner iam'; the job runs as "
        "arn:aws:iam::123456789012:role/glue-partner-exchange"
    ) in said
    assert "sandbox: bucket publish is in account 444455556666" in said
    made_up = "s3://partner-landing/orders/2026-02-02/sample.csv.gz"
    assert f"sandbox: {made_up} is a sample object; replace it with --put {made_up}=FILE" in said
    assert not any("is known only during the run" in line for line in said), (
        "the date is given, so the policies are for it"
    )
    roles = json.loads((project / "result.json").read_text())["roles"]
    assert [role["assume_calls"] for role in roles] == [1, 1]


def test_put_goes_with_a_sandbox_file_too(project: Path, rolerunner: Callable[..., Any]) -> None:
    shutil.copy(CONFIGS / "partner_exchange.sandbox.yaml", project / "configs")
    (project / "x.csv").write_text(ORDERS)
    completed = rolerunner(
        "run",
        "configs/partner_exchange.yaml",
        "--sandbox",
        "--only",
        "find",
        "--put",
        "s3://partner-landing/orders/2026-01-01/=x.csv",
        "--result",
        "r.json",
    )
    assert completed.returncode == 0
    assert json.loads((project / "r.json").read_text())["steps"][0]["outputs"]["count"] == 3, (
        "the glob lets only .csv.gz pass"
    )
    completed = rolerunner(
        "run", "configs/partner_exchange.yaml", "--sandbox", "--put", "s3://partner-land/x=x.csv"
    )
    assert completed.returncode == 2
    assert (
        "the sandbox file has no bucket 'partner-land' (did you mean 'partner-landing'?)"
        in completed.stderr
    )


SPEC = """
version: 1
name: made
roles: {hub: "arn:aws:iam::111122223333:role/hub",
        writer: {arn: "arn:aws:iam::444455556666:role/w", via: hub, external_id: ex-1,
        tags: {a: b}, session_policy: auto}}
steps:
  - {id: wait, action: s3.wait, role: hub, source: "s3://shared/in/", include: ["**/*.json.gz"],
     min_count: 3, min_size: 10, max_wait: 1}
  - {id: read, action: s3.read, role: job, source: "s3://shared/conf.json"}
  - {id: copy, action: s3.copy, role: writer, source: "s3://shared/in/",
     target: "s3://shared/${{ today | format('%Y') }}/",
     encryption: {type: "aws:kms", key: alias/a}}
  - {id: get, action: s3.download, role: writer, objects: "${{ steps.copy.objects }}", target: OUT/}
  - {id: drop, action: s3.delete, role: writer,
     source: "s3://shared/${{ today | format('%Y') }}/", max_delete: 10}
"""


def test_buckets_across_accounts_chains_and_what_a_step_waits_for(tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(SPEC.replace("OUT", str(tmp_path)))
    job = api.load(path)
    made_of_it = generate_world(api.plan(job), api.plan(drop_run_params(job, ())), registry(), {})
    (bucket,) = made_of_it.world.buckets
    assert (bucket.name, bucket.account) == ("shared", "444455556666"), (
        "it belongs to the role that writes to it"
    )
    assert {each["Principal"]["AWS"] for each in bucket.policy} == {
        "arn:aws:iam::111122223333:root",
        "arn:aws:iam::123456789012:root",
    }
    assert sorted(each.key for each in bucket.objects) == [
        "conf.json",
        "in/sample.json.gz",
        "in/sample1.json.gz",
        "in/sample2.json.gz",
    ]
    with sandbox.start_sandbox(made_of_it.world) as running:
        result = api.run(job, identity=identity_of(running))
    assert result.status == "succeeded", [step.error for step in result.steps]
    assert [step.outputs.get("count") for step in result.steps] == [3, None, 3, 3, 3]


OTHERS = """
version: 1
name: others
roles: {reader: "arn:aws:iam::111122223333:role/r", writer: "arn:aws:iam::444455556666:role/w"}
steps:
  - {id: clean, action: s3.cleanup, role: reader, source: "s3://landing/", max_delete: 9}
  - {id: put, action: s3.presign, role: writer, source: "s3://publish/new", method: PUT}
  - {id: verify, action: s3.verify, source_role: reader, target_role: writer,
     source: "s3://landing/in/", target: "s3://publish/in/"}
  - {id: tag, action: s3.tag, role: reader, source: "s3://landing/in/", add: {a: b}}
  - {id: get, action: s3.presign, role: reader, source: "s3://landing/one/x"}
  - {id: concat, action: s3.concat, source_role: reader, target_role: writer,
     source: "s3://landing/in/", target: "s3://publish/all"}
  - {id: restore, action: s3.restore, role: reader, source: "s3://landing/in/", wait: true}
"""


def test_samples_are_made_of_what_steps_read_and_of_both_sides_of_a_comparison(
    tmp_path: Path,
) -> None:
    path = tmp_path / "others.yaml"
    path.write_text(OTHERS)
    job = api.load(path)
    made_of_it = generate_world(api.plan(job), api.plan(drop_run_params(job, ())), registry(), {})
    made = {
        (bucket.name, each.key) for bucket in made_of_it.world.buckets for each in bucket.objects
    }
    assert made == {
        ("landing", "in/sample.txt"),
        ("landing", "one/x"),
        ("publish", "in/sample.txt"),
    }
    with sandbox.start_sandbox(made_of_it.world) as running:
        result = api.run(job, identity=identity_of(running))
    assert [step.error for step in result.steps] == [None] * 7


def test_another_partition_is_an_error(tmp_path: Path, rolerunner: Callable[..., Any]) -> None:
    (tmp_path / "cn.yaml").write_text(
        "version: 1\n"
        "name: t\n"
        "steps: [{id: a, action: s3.list, role: 'arn:aws-cn:iam::111122223333:role/r', "
        "source: 's3://bucket/'}]\n"
    )
    completed = rolerunner("run", "cn.yaml", "--sandbox")
    assert completed.returncode == 2
    assert "only the partition aws" in completed.stderr


def test_plan_live_and_check_look_at_a_made_world_too(project: Path) -> None:
    spec = str(project / "configs/partner_exchange.yaml")
    completed = CliRunner().invoke(main, ["plan", spec, "--live", "--sandbox"])
    assert "     now: 1 object, 27 bytes" in completed.stdout
    completed = CliRunner().invoke(main, ["check", spec, "--sandbox", "--json"])
    assert completed.exit_code == 0
    assert {each["answer"] for each in json.loads(completed.stdout)} == {"yes", "unknown"}


PARTNERS = """
version: 1
name: partners
params: {run_date: {type: date, required: true}}
roles:
  reader: arn:aws:iam::222233334444:role/reader
glue: {role: ROLE}
steps:
  - id: each
    for_each: [one, two, three, four, five]
    steps:
      - id: find
        action: s3.list
        role: reader
        source: "s3://landing/${{ item }}/${{ params.run_date }}/"
      - {id: know, action: s3.list, role: reader, source: "s3://landing/${{ item }}/all/"}
"""


def derive_partners(tmp_path: Path, role: str) -> Any:
    spec = tmp_path / "partners.yaml"
    spec.write_text(PARTNERS.replace("ROLE", role))
    job = api.load(spec, {"run_date": "2026-01-31"})
    return generate_world(api.plan(job), api.plan(drop_run_params(job, ())), registry(), {})


def test_the_job_runs_as_the_role_of_the_glue_job(tmp_path: Path) -> None:
    role = "arn:aws:iam::111122223333:role/service/glue-partners"
    assert derive_partners(tmp_path, role).world.job_role == role
    named = derive_partners(tmp_path, "glue-other").world.job_role
    assert named == "arn:aws:iam::123456789012:role/glue-other"


def test_notes_on_many_items_are_few(tmp_path: Path) -> None:
    notes = derive_partners(tmp_path, "glue").notes
    sample = "s3://landing/one/2026-01-31/sample.txt"
    assert notes[2:] == (
        f"bucket landing has 10 sample objects, such as {sample}; replace them with --put URI=FILE",
        (
            "each.find: source: s3://landing/${{ item }}/${{ params.run_date }}/ is known only "
            "during the run; permissions are for s3://landing/one/*/, and for 4 more"
        ),
    )
