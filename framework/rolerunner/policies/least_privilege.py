"""Plan -> the policies of every role: what each must be allowed, who may assume it, and the job role's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import UsageError
from rolerunner.iam.actions_table import build_object_arn
from rolerunner.iam.policy import Statement, build_policy, merge_uses
from rolerunner.iam.role_denials import Caller, build_trust_statements
from rolerunner.iam.session_policies import derive_assume_uses
from rolerunner.model import JOB, Job, Permission, Plan, Role, RoleArn, S3Uri, Use

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

UNKNOWN_JOB_ROLE = "<the ARN of the job's role>"
_GLUE = {
    "Effect": "Allow",
    "Principal": {"Service": "glue.amazonaws.com"},
    "Action": "sts:AssumeRole",
}
LOG_ACTIONS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


@dataclass(frozen=True)
class JobRoleUses:
    """What the spec does not say: the job's role, and what the job reads and writes under it besides its steps."""

    job_role: str = ""
    reads: tuple[S3Uri, ...] = ()
    """The spec, the script, wheels."""
    writes: tuple[S3Uri, ...] = ()
    """The result file."""
    more: tuple[Use, ...] = ()
    """What whatever runs the job does under its role."""


@dataclass(frozen=True)
class RolePolicies:
    """One role of IAM: all aliases of the spec that are this role."""

    names: tuple[str, ...]
    arn: str
    """Empty where the job's own role is not known."""
    permissions: tuple[Statement, ...]
    trust: tuple[Mapping[str, Any], ...]
    duration: int = 3600
    """The longest session that the spec asks for, in seconds."""

    @property
    def account(self) -> str:
        """Its account; empty where it is not known."""
        return RoleArn.parse(self.arn).account if self.arn else ""

    def policy(self) -> dict[str, Any]:
        """What it may do."""
        return build_policy(each.as_json() for each in self.permissions)

    def trust_policy(self) -> dict[str, Any]:
        """Who may assume it."""
        return build_policy(dict(each) for each in self.trust)


def drop_run_params(job: Job, given: Collection[str], widen: Collection[str] = ()) -> Job:
    """The job as policies see it that outlive one run: without params that differ from run to run.

    Those are dates and times, and the names in ``widen``; what was given stays. Raises UsageError for roles that hang on
    params which were not given, and for a name that is no param.
    """
    if job.undecided:
        raise UsageError(
            f"{', '.join(job.undecided)}: hang on params that were not given; give them with -p NAME=VALUE"
        )
    unknown = [name for name in widen if name not in job.params]
    if unknown:
        raise UsageError(f"--widen: there is no param '{unknown[0]}' with a value")
    kept = {
        name: value
        for name, value in job.params.items()
        if name not in widen and (name in given or not isinstance(value, date))
    }
    return replace(job, params=kept)


def derive_policies(plan: Plan, around: JobRoleUses) -> tuple[RolePolicies, ...]:
    """The policies of the job's role, then of every other role in the order of the plan."""
    by_arn: dict[str, list[Role]] = {}
    for role in plan.uses:
        by_arn.setdefault("" if role.arn == around.job_role else role.arn, []).append(role)
    job = by_arn.pop("", [JOB])
    own = [use for role in job for use in plan.uses.get(role, ())]
    direct = [role for roles in by_arn.values() for role in roles if role.via is None]
    own += [use for role in direct for use in derive_assume_uses(role)]
    first = _policies(("job",), around.job_role, [*own, *_around(plan.job, around)], [_GLUE])
    return (first, *(_role(arn, roles, plan, around) for arn, roles in by_arn.items()))


def _role(arn: str, roles: Sequence[Role], plan: Plan, around: JobRoleUses) -> RolePolicies:
    uses = [use for role in roles for use in plan.uses[role]]
    trust: list[Mapping[str, Any]] = []
    for role in roles:
        principal = role.via.arn if role.via is not None else around.job_role or UNKNOWN_JOB_ROLE
        trust += [
            each
            for each in build_trust_statements(role, Caller(role_arn=principal))
            if each not in trust
        ]
    names = tuple(dict.fromkeys(map(str, roles)))
    return replace(
        _policies(names, arn, uses, trust), duration=max(role.duration for role in roles)
    )


def _policies(
    names: tuple[str, ...], arn: str, uses: Iterable[Use], trust: Sequence[Mapping[str, Any]]
) -> RolePolicies:
    return RolePolicies(names, arn, merge_uses(uses), tuple(trust))


def _around(job: Job, around: JobRoleUses) -> Iterator[Use]:
    """What the job's role needs besides its steps."""
    arn = RoleArn.parse(around.job_role) if around.job_role else None
    others = (RoleArn.parse(role.arn).partition for role in job.roles.values())
    partition = arn.partition if arn else next(others, "aws")
    reads = [*around.reads, *(_spec_files(job) if job.file.startswith("s3://") else ())]
    for uri in dict.fromkeys(reads):
        yield Use(Permission("s3:GetObject", build_object_arn(uri, partition)), "start")
    for uri in around.writes:
        yield Use(Permission("s3:PutObject", build_object_arn(uri, partition)), "result")
    group = f"arn:{partition}:logs:*:{arn.account if arn else '*'}:log-group:/aws-glue/*"
    yield from (Use(Permission(action, group), "log") for action in LOG_ACTIONS)
    yield from around.more


def _spec_files(job: Job) -> list[S3Uri]:
    spec = S3Uri.parse(job.file)
    folder = S3Uri(spec.bucket, spec.key[: spec.key.rfind("/") + 1])
    return [spec, *(folder.join(name) for name in job.includes)]


def list_notes(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Step -> what is not known before the run, so that its role is allowed more than it will need, or not all of it."""
    return {planned.step.id: planned.notes for planned in plan.steps if planned.notes}


def policies_to_json(plan: Plan, found: Sequence[RolePolicies], *, explain: bool) -> dict[str, Any]:
    """The policies as ``rolerunner iam`` prints them."""
    roles = []
    for each in found:
        shown: dict[str, Any] = {
            "role": ", ".join(each.names),
            "arn": each.arn or None,
            "trust": each.trust_policy(),
            "permissions": each.policy(),
        }
        if explain:
            shown["explain"] = explain_statements(each)
        roles.append(shown)
    told = {step: list(each) for step, each in list_notes(plan).items()}
    return {"version": 1, "job": plan.job.name, "roles": roles, **({"notes": told} if told else {})}


def explain_statements(role: RolePolicies) -> list[dict[str, Any]]:
    """For each statement, in order, who needs it."""
    return [
        {"statement": number, "for": list(each.by)}
        for number, each in enumerate(role.permissions, 1)
    ]


def name_roles(
    found: Sequence[RolePolicies], account: Optional[str] = None
) -> list[tuple[str, RolePolicies]]:
    """Roles to write down, each with a name of its own: its role's name, with its account where two share one. Raises UsageError."""
    roles = [each for each in found if account in (None, each.account)]
    if not roles:
        there = sorted({each.account for each in found if each.account})
        raise UsageError(
            f"no role of the spec is in account {account}; there {'is' if len(there) == 1 else 'are'} {', '.join(there)}"
        )
    if not all(each.arn for each in roles):
        raise UsageError("the job's own role is not known: say --job-role ARN")
    names = [RoleArn.parse(each.arn).name for each in roles]
    return [
        (name if names.count(name) == 1 else f"{name}-{each.account}", each)
        for name, each in zip(names, roles)
    ]


def list_dependencies(
    role: RolePolicies, named_roles: Sequence[tuple[str, RolePolicies]]
) -> list[str]:
    """Names of the roles of the same account that must be there first: a trust policy may name only those that are."""
    principals = {each["Principal"].get("AWS") for each in role.trust}
    return [
        name
        for name, other in named_roles
        if other.arn in principals and other.account == role.account and other.arn != role.arn
    ]
