"""The policies of a plan's roles and of the job's own."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from rolerunner.errors import UsageError
from rolerunner.iam.policy import Statement
from rolerunner.iam.session_policies import collect_uses
from rolerunner.model import JOB, Job, Permission, Plan, PlannedStep, Role, S3Uri, Step, Use
from rolerunner.policies.least_privilege import (
    LOG_ACTIONS,
    JobRoleUses,
    RolePolicies,
    derive_policies,
    drop_run_params,
    list_dependencies,
    name_roles,
    policies_to_json,
)

OWN = "arn:aws:iam::111122223333:role/service-role/job"
READER = "arn:aws:iam::444455556666:role/reader"
LOGS = "arn:aws:logs:*:*:log-group:/aws-glue/*"
GET = Permission("s3:GetObject", "arn:aws:s3:::b/*")
PUT = Permission("s3:PutObject", "arn:aws:s3:::b/*")


def make_plan(*used: tuple[Role, Permission], **job: Any) -> Plan:
    steps = tuple(
        PlannedStep(Step(f"s{number}", "x", {}, {"role": role}), {}, {"role": (needed,)})
        for number, (role, needed) in enumerate(used)
    )
    made = Job("j", tuple(each.step for each in steps), **job)
    uses = collect_uses(steps, [], None)
    return Plan(made, steps, tuple(uses), uses=uses)


def allowed(role: RolePolicies) -> list[tuple[Any, Any]]:
    return [(each.as_json()["Action"], each.as_json()["Resource"]) for each in role.permissions]


def test_aliases_of_one_role_share_its_policies() -> None:
    one = Role(READER, "one", duration=900)
    two = Role(READER, "two", duration=1800, external_id="x")
    job, reader = derive_policies(make_plan((one, GET), (two, PUT)), JobRoleUses(OWN))
    assert (reader.names, reader.arn, reader.duration) == (("one", "two"), READER, 1800)
    assert allowed(reader) == [(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::b/*")]
    assert [each.get("Condition") for each in reader.trust] == [
        None,
        {"StringEquals": {"sts:ExternalId": "x"}},
    ]
    assert ("sts:AssumeRole", READER) in allowed(job)
    assert (job.names, job.arn, job.account) == (("job",), OWN, "111122223333")
    assert job.duration == 3600


def test_the_job_trusts_glue_and_is_trusted_by_the_roles_it_assumes() -> None:
    hub = Role("arn:aws:iam::111122223333:role/hub", "hub")
    reader = Role(READER, "reader", via=hub)
    job, first, second = derive_policies(make_plan((reader, GET)), JobRoleUses(OWN))
    assert job.trust[0]["Principal"] == {"Service": "glue.amazonaws.com"}
    principals = {each.arn: each.trust[0]["Principal"] for each in (first, second)}
    assert principals == {hub.arn: {"AWS": OWN}, READER: {"AWS": hub.arn}}
    assert [resource for action, resource in allowed(job) if action == "sts:AssumeRole"] == [
        hub.arn
    ]


def test_a_job_role_that_is_not_known_has_a_placeholder() -> None:
    job, reader = derive_policies(make_plan((Role(READER), GET)), JobRoleUses())
    assert (job.arn, job.account) == ("", "")
    assert reader.trust[0]["Principal"] == {"AWS": "<the ARN of the job's role>"}
    assert (list(LOG_ACTIONS), LOGS) in allowed(job)


def test_a_step_that_names_the_jobs_role_by_its_arn_runs_as_the_job() -> None:
    policies = derive_policies(make_plan((Role(OWN, "own"), GET), (JOB, PUT)), JobRoleUses(OWN))
    assert [each.names for each in policies] == [("job",)]
    assert (["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::b/*") in allowed(policies[0])


def test_the_job_reads_its_spec_and_writes_its_result() -> None:
    plan = make_plan(
        (JOB, Permission("sqs:SendMessage", "*")),
        file="s3://code/jobs/spec.yaml",
        includes=("inc.yaml",),
    )
    around = JobRoleUses(
        "arn:aws-cn:iam::111122223333:role/job",
        reads=(S3Uri("code", "x.py"), S3Uri("code", "jobs/spec.yaml")),
        writes=(S3Uri("out", "result.json"),),
        more=(Use(Permission("glue:GetConnection", "*"), "glue"),),
    )
    (job,) = derive_policies(plan, around)
    found = {(str(action), str(resource)) for action, resource in allowed(job)}
    objects = ["jobs/inc.yaml", "jobs/spec.yaml", "x.py"]
    reads = [f"arn:aws-cn:s3:::code/{name}" for name in objects]
    assert ("s3:GetObject", str(reads)) in found
    assert ("s3:PutObject", "arn:aws-cn:s3:::out/result.json") in found
    assert (str(["glue:GetConnection", "sqs:SendMessage"]), "*") in found
    logs = "arn:aws-cn:logs:*:111122223333:log-group:/aws-glue/*"
    assert logs in {resource for _, resource in found}
    by = {step for each in job.permissions for step in each.by}
    assert by == {"s0", "start", "result", "log", "glue"}


def test_a_spec_on_this_machine_is_not_read_from_s3() -> None:
    (job,) = derive_policies(make_plan((JOB, PUT), file="jobs/spec.yaml"), JobRoleUses(OWN))
    assert "s3:GetObject" not in str(allowed(job))


def test_the_partition_is_that_of_the_specs_roles_where_the_job_is_not_known() -> None:
    role = Role("arn:aws-cn:iam::444455556666:role/reader", "reader")
    plan = make_plan((role, GET), roles={"reader": role})
    job, _ = derive_policies(plan, JobRoleUses(writes=(S3Uri("out", "r"),)))
    assert ("s3:PutObject", "arn:aws-cn:s3:::out/r") in allowed(job)


def test_params_that_differ_between_runs_are_dropped() -> None:
    params = {"day": date(2026, 1, 1), "end": date(2026, 1, 2), "zone": "north", "team": "x"}
    kept = drop_run_params(Job("j", (), params), ["day"], ["team"]).params
    assert kept == {"day": date(2026, 1, 1), "zone": "north"}
    with pytest.raises(UsageError, match="--widen: there is no param 'nope' with a value"):
        drop_run_params(Job("j", (), params), [], ["zone", "nope"])
    with pytest.raises(UsageError, match="role a, state: depend on params without a value"):
        drop_run_params(Job("j", (), undecided=("role a", "state")), [])
    with pytest.raises(UsageError, match="with -p NAME=VALUE or --env dev or --env prod"):
        drop_run_params(Job("j", (), undecided=("a",), environments=("dev", "prod")), [])


def role(arn: str, trusted: str = OWN) -> RolePolicies:
    trust = {"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"}
    return RolePolicies(("r",), arn, (Statement(("s3:GetObject",), ("*",)),), (trust,))


def test_roles_have_unique_names() -> None:
    twin = "arn:aws:iam::111122223333:role/team/reader"
    found = [role(READER), role(twin), role(OWN)]
    assert [name for name, _ in name_roles(found)] == [
        "reader-444455556666",
        "reader-111122223333",
        "job",
    ]
    assert name_roles(found, "444455556666") == [("reader", found[0])]
    with pytest.raises(UsageError) as refused:
        name_roles(found, "999999999999")
    assert str(refused.value) == (
        "no role of the spec is in account 999999999999; accounts: 111122223333, 444455556666"
    )
    with pytest.raises(UsageError, match="set --job-role ARN"):
        name_roles([*found, role("")])


def test_a_role_comes_after_those_of_its_account_that_it_trusts() -> None:
    hub, elsewhere = "arn:aws:iam::444455556666:role/hub", "arn:aws:iam::111122223333:role/hub"
    named = [("hub", role(hub)), ("other", role(elsewhere)), ("reader", role(READER, hub))]
    assert list_dependencies(role(READER, hub), named) == ["hub"]
    assert list_dependencies(role(READER, elsewhere), named) == []
    assert list_dependencies(role(READER, READER), named) == []


def test_policies_as_json_have_notes_and_explanations_where_there_are_some() -> None:
    plan = make_plan((JOB, GET))
    shown = policies_to_json(plan, derive_policies(plan, JobRoleUses()), explain=False)
    assert set(shown) == {"version", "job", "roles"}
    assert (shown["version"], shown["job"], shown["roles"][0]["arn"]) == (1, "j", None)
    assert set(shown["roles"][0]) == {"role", "arn", "trust", "permissions"}
    known = make_plan((Role(READER, "reader"), GET), environment="prod")
    shown = policies_to_json(known, derive_policies(known, JobRoleUses(OWN)), explain=False)
    assert [(each["role"], each["arn"]) for each in shown["roles"]] == [
        ("job", OWN),
        ("reader", READER),
    ]
    assert shown["environment"] == "prod"
    noted = Plan(plan.job, (PlannedStep(plan.job.steps[0], {}, notes=("its code",)),), ())
    told = policies_to_json(noted, derive_policies(plan, JobRoleUses()), explain=True)
    assert told["notes"] == {"s0": ["its code"]}
    assert {"statement": 1, "for": ["log"]} in told["roles"][0]["explain"]
