"""Explains why STS refused to assume a role, with the policy statements that may be missing.

AWS seldom reports which of several policies lacks a permission, and a role that does not exist
gives the same response as one that must not be assumed. So the hint claims no single cause: it
prints the statements of both the caller and the role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.common.patterns import compile_on_use
from rolerunner.errors import RoleRefused
from rolerunner.iam.actions_table import build_statement, unwrap_single
from rolerunner.iam.aws_errors import DENIED_CODES, EXPIRED_CODES, AwsError
from rolerunner.iam.error_hints import (
    DenialMessage,
    format_statement,
    hint_clock_skew,
    hint_code,
    hint_explicit_deny,
    hint_ids,
    join_lines,
)
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Role, RoleArn

if TYPE_CHECKING:
    from collections.abc import Mapping

_ASSUMED_ROLE = compile_on_use(
    r"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>\d{12}):assumed-role/(?P<name>[^/]+)/.*"
)
_PRINCIPAL = compile_on_use(r"arn:(?P<partition>aws[a-z-]*):(?:iam|sts)::(?P<account>\d{12}):.+")

_UNCERTAIN = "AWS does not report for certain what is missing, nor whether the role exists."


@dataclass(frozen=True)
class Caller:
    """The sender of a request: the ARN that STS reports, and the ARN of its role where known.

    An assumed-role ARN leaves out the role's path (role/service-role/X appears as assumed-role/X),
    and IAM refuses a trust policy that names a role without its path.
    """

    arn: str = ""
    role_arn: str = ""

    @property
    def account(self) -> str:
        """Its account, empty where nothing is known."""
        match = _PRINCIPAL.match(self.role_arn or self.arn)
        return match["account"] if match else ""

    @property
    def partition(self) -> str:
        """Its partition, such as aws or aws-cn, empty where nothing is known."""
        match = _PRINCIPAL.match(self.role_arn or self.arn)
        return match["partition"] if match else ""


def explain_role_refusal(role: Role, error: AwsError, caller: Caller) -> RoleRefused:
    """Returns the refusal of AssumeRole. An ARN in the error's message overrides ``caller``."""
    denial = DenialMessage.parse(error.message)
    if denial and denial.user and denial.user != caller.arn:
        caller = Caller(denial.user)
    is_denied = error.code in DENIED_CODES
    partition = caller.partition
    if partition and partition != RoleArn.parse(role.arn).partition:
        hint = _hint_partitions(role, caller, error)
    else:
        hint = _hint_statements(role, caller, error) if is_denied else hint_sts(error, caller)
    return RoleRefused(
        f"the role '{role}' could not be assumed: {error.message or error.code}",
        role=str(role),
        hint=hint,
        type="RoleRefused" if is_denied else error.code,
        asked_by=caller.arn,
    )


def hint_sts(error: AwsError, caller: Caller) -> str:
    """Returns the hint for an error of STS that is no denial."""
    if error.is_clock_skew:
        return hint_clock_skew(error)
    if error.code in EXPIRED_CODES:
        owner = caller.arn or "the job"
        return f"the credentials of {owner} have expired, and no newer ones were found"
    if "1 hour session limit" in error.message:
        return (
            "a role assumed from another role's session lasts an hour at most: set"
            " 'duration: 1h' (3600 seconds) or less"
        )
    if "MaxSessionDuration" in error.message:
        return (
            "the role's own maximum session duration is shorter: set a shorter 'duration', or"
            " raise MaxSessionDuration on the role"
        )
    return hint_code(error)


def _hint_partitions(role: Role, caller: Caller, error: AwsError) -> str:
    """Returns the hint for a role that no policy lets the caller assume."""
    wanted = RoleArn.parse(role.arn).partition
    requester = f"requested by {caller.arn}, which is in the partition {caller.partition}"
    remedy = f"start the job with credentials of an account in {wanted}, in one of its regions"
    reason = f"{requester}: roles cannot be assumed across partitions; {remedy}"
    return join_lines([reason, *hint_ids(error)])


def _hint_statements(role: Role, caller: Caller, error: AwsError) -> str:
    requester = caller.arn or "the job (its identity is not known)"
    trust = ", ".join(map(format_statement, build_trust_statements(role, caller)))
    return join_lines(
        [
            f"requested by {requester}; {_UNCERTAIN}",
            hint_explicit_deny(error),
            f"1. the caller's own policy needs: {format_statement(build_caller_statement(role))}",
            f"2. the trust policy of {role.arn} needs: {trust}",
            _note_accounts(caller, RoleArn.parse(role.arn)),
            _note_path(caller),
            _note_external_id(role),
            *hint_ids(error),
        ]
    )


def build_caller_statement(role: Role) -> dict[str, Any]:
    """Returns the statement that the caller's policy needs to assume the role."""
    return build_statement(list(list_assume_actions(role)), [role.arn])


def build_trust_statements(role: Role, caller: Caller) -> list[dict[str, Any]]:
    """Returns the statements that the role's trust policy needs.

    TagSession and SetSourceIdentity stand apart where there is an external id, because the
    condition on it is documented for AssumeRole only.
    """
    principal, condition = _resolve_principal(caller)
    base: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": principal}}
    extra = _list_extra_actions(role)
    if not role.external_id:
        actions = unwrap_single(["sts:AssumeRole", *extra])
        return [{**base, "Action": actions, **_wrap_condition(condition)}]
    with_id = {**condition, "StringEquals": {"sts:ExternalId": role.external_id}}
    first = {**base, "Action": "sts:AssumeRole", **_wrap_condition(with_id)}
    if not extra:
        return [first]
    return [first, {**base, "Action": unwrap_single(extra), **_wrap_condition(condition)}]


def list_assume_actions(role: Role) -> tuple[str, ...]:
    """Returns the IAM actions that assuming the role needs: tags and a source identity add some."""
    return ("sts:AssumeRole", *_list_extra_actions(role))


def _list_extra_actions(role: Role) -> list[str]:
    return [
        *(["sts:TagSession"] if role.tags else []),
        *(["sts:SetSourceIdentity"] if role.source_identity else []),
    ]


def _wrap_condition(condition: Mapping[str, Any]) -> dict[str, Any]:
    return {"Condition": condition} if condition else {}


def _resolve_principal(caller: Caller) -> tuple[str, dict[str, Any]]:
    """Returns the principal of a trust policy, and the condition that narrows it to the caller."""
    if caller.role_arn:
        return caller.role_arn, {}
    match = _ASSUMED_ROLE.match(caller.arn)
    if match is None:
        return caller.arn or "<the ARN of the job's role>", {}
    account = f"arn:{match['partition']}:iam::{match['account']}"
    # both forms and not role/*NAME, which would let in every role whose name ends like this one
    patterns = [f"{account}:role/{match['name']}", f"{account}:role/*/{match['name']}"]
    return f"{account}:root", {"ArnLike": {"aws:PrincipalArn": patterns}}


def _note_path(caller: Caller) -> str:
    if caller.role_arn or not _ASSUMED_ROLE.match(caller.arn):
        return ""
    return (
        "an assumed-role ARN leaves out the role's path, and iam:GetRole is not allowed here; so 2"
        " names the account, and the role's name in a condition. If you know the role's full ARN,"
        " use that instead. With the account as principal, 1 is needed in any case."
    )


def _note_accounts(caller: Caller, target: RoleArn) -> str:
    if not caller.account:
        return "within one account either can be enough; across accounts both are needed."
    if caller.account == target.account:
        return (
            f"both are in account {target.account}: 2 is enough where it names the caller itself;"
            " otherwise both are needed."
        )
    return f"the accounts differ ({caller.account} and {target.account}): both are needed."


def _note_external_id(role: Role) -> str:
    if role.external_id:
        return "a wrong external id gives the same error."
    return (
        "a missing external id gives the same error: if the trust policy requires sts:ExternalId,"
        " set 'external_id' on the role."
    )
