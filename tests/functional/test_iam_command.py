"""``rolerunner iam``: its formats, and the comparison with existing roles."""

from __future__ import annotations

import inspect
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rolerunner import api, sandbox
from rolerunner.cli import main
from rolerunner.policies.least_privilege import JobRoleUses, derive_policies
from rolerunner.policies.live import fetch_granted_policies
from rolerunner.sessions.registry import Sessions
from tests.conftest import CONFIGS, identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rolerunner.policies.least_privilege import RolePolicies

JOB = "arn:aws:iam::111122223333:role/service-role/glue-orders"
CHAIN = """
version: 1
name: chain
params:
  day: {type: date, required: true}
  zone: {type: string, default: north}
roles:
  hub: {arn: "arn:aws:iam::444455556666:role/hub"}
  partner: {arn: "arn:aws:iam::222233334444:role/team/reader", via: hub, external_id: ex-1,
            tags: {team: orders}, source_identity: ada}
state: {location: s3://ops-bucket/state/, role: job}
steps:
  - {id: find, action: s3.list, role: partner,
     source: "s3://landing/${{ params.zone }}/${{ params.day }}/"}
  - {id: code, action: python.call, role: hub, function: "somewhere.else:code",
     permissions: [{actions: "kms:Decrypt",
     resources: "arn:aws:kms:eu-west-1:444455556666:key/1"}]}
  - {id: each, action: s3.read, role: job, for_each: [a, b], source: "s3://landing/${{ item }}.txt"}
  - {id: call, action: aws.call, role: job, service: glue, operation: StartCrawler,
     parameters: {Name: x}, permissions: [{actions: "glue:StartCrawler",
     resources: "arn:aws:glue:*:*:crawler/x"}]}
"""


def invoke(*arguments: object) -> Any:
    # click 8.1, the last for Python 3.9, mixes both streams unless told; newer ones never do
    mixes = "mix_stderr" in inspect.signature(CliRunner).parameters
    separate: dict[str, Any] = {"mix_stderr": False} if mixes else {}
    return CliRunner(**separate).invoke(main, ["iam", *map(str, arguments)])


def load_role_policies(*arguments: object) -> dict[str, Any]:
    completed = invoke(*arguments)
    assert completed.exit_code == 0, completed.output
    return {each["role"]: each for each in json.loads(completed.stdout)["roles"]}


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain.yaml"
    path.write_text(CHAIN)
    return path


def statements(role: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(each["Action"], each["Resource"]) for each in role["permissions"]["Statement"]]


def test_each_link_of_a_chain_trusts_and_may_assume_the_next(chain: Path) -> None:
    roles = load_role_policies(chain, "--job-role", JOB, "-p", "day=2026-01-01")
    assert ("sts:AssumeRole", "arn:aws:iam::444455556666:role/hub") in statements(roles["job"])
    assert "arn:aws:iam::222233334444:role/team/reader" not in str(roles["job"]["permissions"])
    assert (
        ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
        "arn:aws:iam::222233334444:role/team/reader",
    ) in statements(roles["hub"])
    assert [each["Principal"] for each in roles["hub"]["trust"]["Statement"]] == [{"AWS": JOB}]
    first, second = roles["partner"]["trust"]["Statement"]
    assert (first["Principal"]["AWS"], first["Action"]) == (
        "arn:aws:iam::444455556666:role/hub",
        "sts:AssumeRole",
    )
    assert first["Condition"] == {"StringEquals": {"sts:ExternalId": "ex-1"}}
    assert second["Action"] == ["sts:TagSession", "sts:SetSourceIdentity"]


def test_the_jobs_role_has_its_steps_its_state_its_log_and_what_is_said(chain: Path) -> None:
    job = load_role_policies(
        chain,
        "--job-role",
        JOB,
        "-p",
        "day=2026-01-01",
        "--reads",
        "s3://code/run_spec.py",
        "--writes",
        "s3://ops-bucket/result.json",
    )["job"]
    found = statements(job)
    assert ("glue:StartCrawler", "arn:aws:glue:*:*:crawler/x") in found
    assert not any(
        action == "glue:StartCrawler" and resource == "*" for action, resource in found
    ), "what is stated stands in for everything"
    assert (
        "s3:GetObject",
        [
            "arn:aws:s3:::code/run_spec.py",
            "arn:aws:s3:::landing/a.txt",
            "arn:aws:s3:::landing/b.txt",
        ],
    ) in found
    assert ("s3:PutObject", "arn:aws:s3:::ops-bucket/result.json") in found
    assert (
        ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
        "arn:aws:s3:::ops-bucket/state/chain/*",
    ) in found
    assert any("logs:PutLogEvents" in action for action, _ in found)
    assert job["trust"]["Statement"][0]["Principal"] == {"Service": "glue.amazonaws.com"}


@pytest.mark.parametrize(
    ("given", "resource", "told"),
    [
        (("-p", "day=2026-01-01"), "north/2026-01-01/", False),
        ((), "north/*/", True),
        (("--widen", "zone"), "*/*/", True),
        (("--widen", "zone", "-p", "zone=south", "-p", "day=2026-01-01"), "*/2026-01-01/", True),
    ],
)
def test_what_hangs_on_a_param_is_filled_or_widened_and_said(
    given: tuple[str, ...], resource: str, told: bool, chain: Path
) -> None:
    completed = invoke(chain, "--job-role", JOB, *given)
    partner = next(
        each for each in json.loads(completed.stdout)["roles"] if each["role"] == "partner"
    )
    assert partner["permissions"]["Statement"][0]["Condition"] == {
        "StringLike": {"s3:prefix": [resource, f"{resource}*"] if resource else []}
    }
    assert ("rolerunner: find: source:" in completed.stderr) is told
    assert ("notes" in json.loads(completed.stdout)) is told


def test_a_role_that_hangs_on_a_missing_param_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        CHAIN.replace("external_id: ex-1", "external_id: '${{ params.day | format(\"%Y\") }}'")
    )
    completed = CliRunner().invoke(main, ["iam", str(tmp_path / "x.yaml")])
    assert "partner: depend on params without a value" in str(completed.exception)


def test_explain_names_the_steps_behind_each_statement(chain: Path) -> None:
    roles = load_role_policies(chain, "--job-role", JOB, "--explain")
    assert roles["partner"]["explain"] == [{"statement": 1, "for": ["find"]}]
    assert {name for each in roles["job"]["explain"] for name in each["for"]} == {
        "role hub",
        "state",
        "each",
        "call",
        "log",
    }
    assert all(
        len(role["explain"]) == len(role["permissions"]["Statement"]) for role in roles.values()
    )


def test_the_output_is_the_same_each_time(chain: Path) -> None:
    assert invoke(chain, "--job-role", JOB).stdout == invoke(chain, "--job-role", JOB).stdout


def test_without_the_jobs_role_it_is_said(chain: Path) -> None:
    completed = invoke(chain)
    assert "<the ARN of the job's role>" in completed.stdout
    assert "--job-role ARN" in completed.stderr


@pytest.mark.once
@pytest.mark.parametrize("spec", ["blog_cross_role", "partner_exchange", "chain"])
@pytest.mark.parametrize("explain", [(), ("--explain",)])
def test_cloudformation_passes_its_linter(spec: str, explain: tuple[str, ...], chain: Path) -> None:
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    path = chain if spec == "chain" else CONFIGS / f"{spec}.yaml"
    completed = invoke(path, "--job-role", JOB, "--format", "cloudformation", *explain)
    assert completed.exit_code == 0, completed.output
    assert lint(completed.stdout, config=ManualArgs(regions=["eu-west-1", "us-east-1"])) == []
    one = invoke(
        path, "--job-role", JOB, "--format", "cloudformation", "--account", "111122223333"
    ).stdout
    assert "RoleName: glue-orders" in one
    assert one.count("AWS::IAM::Role") < completed.stdout.count("AWS::IAM::Role")


@pytest.mark.once
@pytest.mark.parametrize("spec", ["blog_cross_role", "partner_exchange", "chain"])
def test_terraform_parses_and_says_the_same(spec: str, chain: Path) -> None:
    import hcl2

    path = chain if spec == "chain" else CONFIGS / f"{spec}.yaml"
    completed = invoke(path, "--job-role", JOB, "--format", "terraform", "--explain")
    resources = hcl2.load(io.StringIO(completed.stdout))["resource"]
    list_actions_by_kind = [next(iter(each)).strip('"') for each in resources]
    roles = load_role_policies(path, "--job-role", JOB)
    assert (
        list_actions_by_kind.count("aws_iam_role")
        == list_actions_by_kind.count("aws_iam_role_policy")
        == len(roles)
    )
    for role in roles.values():
        for statement in role["permissions"]["Statement"]:
            resource = (
                statement["Resource"]
                if isinstance(statement["Resource"], str)
                else statement["Resource"][0]
            )
            assert f'"{resource}"' in completed.stdout


def test_an_account_that_has_no_role_is_an_error(chain: Path) -> None:
    completed = invoke(
        chain, "--job-role", JOB, "--format", "terraform", "--account", "999999999999"
    )
    assert (
        "no role of the spec is in account 999999999999; accounts: 111122223333, "
        "222233334444, 444455556666"
    ) in str(completed.exception)


# comparing


def list_actions_by_kind(completed: Any, role: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in json.loads(completed.stdout):
        if each["role"] == role:
            found.setdefault(each["kind"], set()).add(
                f"{each['action']} {each['resource']}".strip()
            )
    return found


def test_what_is_printed_is_enough_and_not_too_much(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "have.json").write_text(invoke(chain, "--job-role", JOB).stdout)
    completed = invoke(chain, "--job-role", JOB, "--compare", tmp_path / "have.json")
    assert (completed.exit_code, completed.stdout) == (
        0,
        "every role has what the spec needs, and no more\n",
    )


def build_account_details(
    *documents: dict[str, Any], trust: dict[str, Any], managed: dict[str, Any] | None = None
) -> dict[str, Any]:
    """As aws iam get-account-authorization-details prints it."""
    policy = "arn:aws:iam::222233334444:policy/p"
    versions = [
        {"VersionId": "v1", "IsDefaultVersion": False, "Document": {"Statement": []}},
        {"VersionId": "v2", "IsDefaultVersion": True, "Document": managed},
    ]
    role = {
        "Arn": "arn:aws:iam::222233334444:role/team/reader",
        "AssumeRolePolicyDocument": trust,
        "RolePolicyList": [{"PolicyName": "p", "PolicyDocument": each} for each in documents],
        "AttachedManagedPolicies": [{"PolicyName": "p", "PolicyArn": policy}] if managed else [],
    }
    return {
        "RoleDetailList": [role],
        "Policies": [{"Arn": policy, "PolicyVersionList": versions}] if managed else [],
    }


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": action, "Resource": resource, **more},
    }


TRUST = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::444455556666:root"},
            "Action": "sts:*",
            "Condition": {"StringEquals": {"sts:ExternalId": "ex-1"}},
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": "444455556666"},
            "Action": ["sts:TagSession", "sts:SetSourceIdentity"],
        },
    ]
}
LIST = "s3:ListBucket arn:aws:s3:::landing (s3:prefix: north/*/, north/*/*)"


@pytest.mark.parametrize(
    ("have", "found", "status"),
    [
        (
            build_account_details(allow("s3:List*", "arn:aws:s3:::landing"), trust=TRUST),
            {"wide": {"s3:List* arn:aws:s3:::landing"}},
            0,
        ),
        (
            build_account_details(
                managed=allow(
                    "s3:ListBucket",
                    "arn:aws:s3:::landing",
                    Condition={"StringLike": {"s3:prefix": "north/*"}},
                ),
                trust=TRUST,
            ),
            {},
            0,
        ),
        (
            build_account_details(allow("s3:ListBucket", "arn:aws:s3:::other"), trust=TRUST),
            {"lacks": {LIST}, "extra": {"s3:ListBucket arn:aws:s3:::other"}},
            4,
        ),
        (
            build_account_details(
                allow("s3:*", "*"),
                {"Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]},
                trust=TRUST,
            ),
            {"lacks": {LIST}, "wide": {"s3:* *"}},
            4,
        ),
        (
            build_account_details(
                allow(
                    "s3:ListBucket",
                    "arn:aws:s3:::landing",
                    Condition={"Bool": {"aws:SecureTransport": "true"}},
                ),
                trust=TRUST,
            ),
            {"unsure": {LIST}},
            0,
        ),
        (
            build_account_details(
                allow("s3:ListBucket", "arn:aws:s3:::landing"),
                trust={
                    "Statement": [
                        {"Effect": "Allow", "Principal": {"AWS": JOB}, "Action": "sts:AssumeRole"}
                    ]
                },
            ),
            {
                "lacks": {
                    f"{action} trust of arn:aws:iam::444455556666:role/hub"
                    for action in ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
                },
                "wide": {"s3:ListBucket arn:aws:s3:::landing"},
            },
            4,
        ),
    ],
)
def test_what_a_role_lacks_and_has_too_much(
    have: dict[str, Any], found: dict[str, set[str]], status: int, chain: Path, tmp_path: Path
) -> None:
    (tmp_path / "have.json").write_text(json.dumps(have))
    completed = invoke(
        chain, "--job-role", JOB, "--compare", tmp_path / "have.json", "--format", "json"
    )
    assert (list_actions_by_kind(completed, "partner"), completed.exit_code) == (found, status)
    assert set(list_actions_by_kind(completed, "hub")) == {"unknown"}


def test_the_simple_form_and_the_text(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "have.json").write_text(
        json.dumps({"arn:aws:iam::222233334444:role/team/reader": [allow("s3:PutObject", "*")]})
    )
    completed = invoke(chain, "--job-role", JOB, "--compare", tmp_path / "have.json")
    assert (
        "role partner\n"
        f"  lacks: s3:ListBucket on {LIST.partition(' ')[2]}\n"
        "  does not need: s3:PutObject on *\n"
    ) in completed.stdout
    assert completed.exit_code == 4


WORLD = """
version: 1
job_role: arn:aws:iam::111122223333:role/service-role/glue-orders
roles:
  - arn: arn:aws:iam::111122223333:role/service-role/glue-orders
    permissions:
      - {Effect: Allow, Action: ["iam:GetRole", "iam:ListRolePolicies", "iam:GetRolePolicy",
         "iam:ListAttachedRolePolicies", "iam:GetPolicy", "iam:GetPolicyVersion"], Resource: "*"}
  - arn: arn:aws:iam::111122223333:role/reader
    trust: [{Effect: Allow,
            Principal: {AWS: "arn:aws:iam::111122223333:role/service-role/glue-orders"},
            Action: sts:AssumeRole}]
    permissions: [{Effect: Allow, Action: s3:ListBucket, Resource: "arn:aws:s3:::landing"}]
"""
LIVE = """
version: 1
name: live
roles: {reader: "arn:aws:iam::111122223333:role/reader",
        away: "arn:aws:iam::222233334444:role/away", gone: "arn:aws:iam::111122223333:role/gone"}
steps:
  - {id: find, action: s3.list, role: reader, source: "s3://landing/"}
  - {id: get, action: s3.download, role: reader, source: "s3://landing/", target: /tmp/x/}
  - {id: put, action: s3.write, role: reader, target: "s3://landing/out", text: x}
  - {id: there, action: s3.list, role: away, source: "s3://landing/"}
  - {id: nowhere, action: s3.list, role: gone, source: "s3://landing/"}
"""


@pytest.fixture
def live(aws: sandbox.Sandbox, tmp_path: Path) -> Sequence[RolePolicies]:
    """A managed policy on the reader, and what IAM says of the roles."""
    iam = aws.client("iam", "111122223333")
    policy = iam.create_policy(
        PolicyName="reads",
        PolicyDocument=json.dumps(allow("s3:GetObject", "arn:aws:s3:::landing/*")),
    )["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="reader", PolicyArn=policy)
    (tmp_path / "live.yaml").write_text(LIVE)
    return derive_policies(api.plan(api.load(tmp_path / "live.yaml")), JobRoleUses(JOB))


def test_live_reads_inline_and_managed_policies(live: Any, aws: sandbox.Sandbox) -> None:
    from rolerunner.policies.compare import compare_policies

    have, unread = fetch_granted_policies(live, Sessions(identity_of(aws)))
    found = [(each.role, each.kind, each.action) for each in compare_policies(live, have)]
    assert [each for each in found if each[0] == "reader"] == [("reader", "lacks", "s3:PutObject")]
    assert "it is in account 222233334444" in unread["arn:aws:iam::222233334444:role/away"]
    assert "gone" in unread["arn:aws:iam::111122223333:role/gone"]


def test_live_from_the_command(tmp_path: Path) -> None:
    (tmp_path / "live.yaml").write_text(LIVE)
    (tmp_path / "world.yaml").write_text(WORLD)
    completed = invoke(
        tmp_path / "live.yaml", "--job-role", JOB, "--live", "--sandbox", tmp_path / "world.yaml"
    )
    assert completed.exit_code == 4
    lines = set(completed.stdout.splitlines())
    assert {
        "role reader",
        "  lacks: s3:PutObject on arn:aws:s3:::landing/out",
        "  lacks: s3:GetObject on arn:aws:s3:::landing/*",
    } <= lines
    assert any(
        line.startswith(
            "  unknown: arn:aws:iam::222233334444:role/away  (it is in account 222233334444"
        )
        for line in lines
    )
