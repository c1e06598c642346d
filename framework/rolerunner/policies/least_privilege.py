"""Derives the policies of every role in a plan: permissions and trust, and the job role's."""

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
    """The job's own role, and what the job does under it outside of its steps."""

    job_role: str = ""
    reads: tuple[S3Uri, ...] = ()
    """Objects to read: the spec, the script, wheels."""
    writes: tuple[S3Uri, ...] = ()
    """Objects to write: the result file."""
    more: tuple[Use, ...] = ()
    """Permissions that the service which runs the job needs."""


@dataclass(frozen=True)
class RolePolicies:
    """The policies of an IAM role, with all its aliases in the spec."""

    names: tuple[str, ...]
    arn: str
    """Empty if the job's own role is not known."""
    permissions: tuple[Statement, ...]
    trust: tuple[Mapping[str, Any], ...]
    duration: int = 3600
    """The longest session in the spec, in seconds."""

    @property
    def account(self) -> str:
        """The account; empty if it is not known."""
        return RoleArn.parse(self.arn).account if self.arn else ""

    def policy(self) -> dict[str, Any]:
        """Returns the policy with its permissions."""
        return build_policy(each.as_json() for each in self.permissions)

    def trust_policy(self) -> dict[str, Any]:
        """Returns the policy that says who can assume the role."""
        return build_policy(dict(each) for each in self.trust)


def drop_run_params(job: Job, given: Collection[str], widen: Collection[str] = ()) -> Job:
    """Returns the job without params that differ between runs, for policies that outlive a run.

    These are dates and times that are not in ``given``, secrets that other runs fetch, and the
    names in ``widen``. Raises UsageError for roles that depend on params without a value, and for
    an unknown name.
    """
    if job.undecided:
        choices = [f"--env {each}" for each in job.environments if not job.environment]
        raise UsageError(
            f"{', '.join(job.undecided)}: depend on params without a value; "
            f"{' or '.join(['set them with -p NAME=VALUE', *choices])}"
        )
    unknown = [name for name in widen if name not in job.params]
    if unknown:
        raise UsageError(f"--widen: there is no param '{unknown[0]}' with a value")
    left_out = {*widen, *(source.param for source in job.secret_sources)}
    kept = {
        name: value
        for name, value in job.params.items()
        if name not in left_out and (name in given or not isinstance(value, date))
    }
    return replace(job, params=kept)


def derive_policies(plan: Plan, around: JobRoleUses) -> tuple[RolePolicies, ...]:
    """Returns the policies of the job's role, then of the other roles in the order of the plan."""
    by_arn: dict[str, list[Role]] = {}
    for role in plan.uses:
        by_arn.setdefault("" if role.arn == around.job_role else role.arn, []).append(role)
    job = by_arn.pop("", [JOB])
    own = [use for role in job for use in plan.uses.get(role, ())]
    direct = [role for roles in by_arn.values() for role in roles if role.via is None]
    own += [use for role in direct for use in derive_assume_uses(role)]
    first = _build_policies(
        ("job",), around.job_role, [*own, *_list_surrounding_uses(plan.job, around)], [_GLUE]
    )
    return (first, *(_build_role(arn, roles, plan, around) for arn, roles in by_arn.items()))


def _build_role(arn: str, roles: Sequence[Role], plan: Plan, around: JobRoleUses) -> RolePolicies:
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
        _build_policies(names, arn, uses, trust), duration=max(role.duration for role in roles)
    )


def _build_policies(
    names: tuple[str, ...], arn: str, uses: Iterable[Use], trust: Sequence[Mapping[str, Any]]
) -> RolePolicies:
    return RolePolicies(names, arn, merge_uses(uses), tuple(trust))


def _list_surrounding_uses(job: Job, around: JobRoleUses) -> Iterator[Use]:
    """Yields what the job's role needs outside of its steps."""
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
    """Returns the notes by step id: unknown values that make permissions wider, or incomplete."""
    return {planned.step.id: planned.notes for planned in plan.steps if planned.notes}


def policies_to_json(plan: Plan, found: Sequence[RolePolicies], *, explain: bool) -> dict[str, Any]:
    """Returns the policies as ``rolerunner iam`` prints them."""
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
    step_notes = {step: list(each) for step, each in list_notes(plan).items()}
    return {
        "version": 1,
        "job": plan.job.name,
        **({"environment": plan.job.environment} if plan.job.environment else {}),
        "roles": roles,
        **({"notes": step_notes} if step_notes else {}),
    }


def explain_statements(role: RolePolicies) -> list[dict[str, Any]]:
    """Returns for each statement which steps need it."""
    return [
        {"statement": number, "for": list(each.by)}
        for number, each in enumerate(role.permissions, 1)
    ]


def name_roles(
    found: Sequence[RolePolicies], account: Optional[str] = None
) -> list[tuple[str, RolePolicies]]:
    """Returns the roles with unique names: the role's name, with its account if two are equal.

    Raises UsageError if no role is in the account, or the job's role is not known.
    """
    roles = [each for each in found if account in (None, each.account)]
    if not roles:
        there = sorted({each.account for each in found if each.account})
        raise UsageError(
            f"no role of the spec is in account {account}; accounts: {', '.join(there)}"
        )
    if not all(each.arn for each in roles):
        raise UsageError("the job's own role is not known; set --job-role ARN")
    names = [RoleArn.parse(each.arn).name for each in roles]
    return [
        (name if names.count(name) == 1 else f"{name}-{each.account}", each)
        for name, each in zip(names, roles)
    ]


def list_dependencies(
    role: RolePolicies, named_roles: Sequence[tuple[str, RolePolicies]]
) -> list[str]:
    """Returns the roles of its account to create first: trust policies must name existing ones."""
    principals = {each["Principal"].get("AWS") for each in role.trust}
    return [
        name
        for name, other in named_roles
        if other.arn in principals and other.account == role.account and other.arn != role.arn
    ]
