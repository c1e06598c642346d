"""Explains errors of S3 and other services, with the policy statements that may be missing.

Knows error codes and messages; makes no calls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import AccessDenied, NotFound, RoleRefused, ServiceFailed, StepError
from rolerunner.iam.actions_table import (
    COPY_OPERATIONS,
    KEY_WRITE_ACTIONS,
    S3_ACTIONS,
    build_statement,
    derive_key_permissions,
    derive_s3_permissions,
    render_condition,
    replace_action,
    resolve_for_role,
)
from rolerunner.iam.aws_errors import DENIED_CODES, EXPIRED_CODES, AwsError
from rolerunner.iam.error_hints import (
    CODE_HINTS,
    DenialMessage,
    format_statement,
    hint_clock_skew,
    hint_code,
    hint_explicit_deny,
    hint_ids,
    join_lines,
)
from rolerunner.iam.role_denials import Caller, explain_role_refusal, hint_sts
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Permission, Role, RoleArn, S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NOT_FOUND_CODES = {
    "NoSuchBucket": "there is no bucket '{bucket}'",
    "NoSuchKey": "there is no object {uri}",
    "NoSuchVersion": "there is no such version of {uri}",
    "404": "there is no object {uri}",
    "NotFound": "there is no object {uri}",
}
_NO_BUCKET_HINT = "check its name, and that nobody has deleted it"
_NO_OBJECT_HINT = "check the key, and that what stores it has run; s3.wait waits for objects"
_FORBIDDEN = 403
_UNKNOWN_KEY = "<the ARN of the KMS key>"
_READ_ACTIONS = frozenset({"s3:GetObject", "s3:GetObjectVersion"})
_READ_OPERATIONS = frozenset({"GetObject", "HeadObject"})
_WRITE_OPERATIONS = frozenset({"PutObject", "CreateMultipartUpload", "CopyObject"})
_KEY_DENIALS = ("ciphertext refers to", "Access to KMS is not allowed")
_SECRET_SERVICES = {"GetSecretValue": "secretsmanager", "GetParameter": "ssm"}
"""Operation -> the service through which it uses a KMS key."""
_S3_SERVICES = frozenset({"s3", "s3express"})


def explain_error(
    error: AwsError,
    role: Optional[Role],
    *,
    caller: str = "",
    bucket: str = "",
    key: str = "",
    source: Optional[S3Uri] = None,
    version: str = "",
    needed: Sequence[Permission] = (),
) -> StepError:
    """Returns a service's error response as the failure of the step.

    ``bucket`` and ``key`` (or a prefix) are the target of a request to S3, ``source`` the object
    that a copy reads, ``version`` the version that the request names. ``needed`` are the call's
    permissions where the operation does not imply them.
    """
    if error.operation == "AssumeRole":
        return _explain_nested_assume(error, role, caller)
    uri = S3Uri(bucket, key)
    if error.code in NOT_FOUND_CODES and bucket:
        is_target = source is None or error.code in {"NoSuchBucket", "404"}
        return _explain_not_found(error, uri if is_target or source is None else source)
    if _is_denial(error):
        needed = needed or _derive_needed(error, uri, source, version)
        return _explain_denial(error, role, caller, needed)
    place = f" ({uri})" if bucket else ""
    message = f"{error.operation}: {error.message or error.code}{place}"
    hint, kind = _hint_service(error, role), error.code or "ServiceFailed"
    return ServiceFailed(message, hint=hint, type=kind)


def _is_denial(error: AwsError) -> bool:
    if error.code in DENIED_CODES:
        return True
    has_hint = error.code in CODE_HINTS or error.code in EXPIRED_CODES or error.is_clock_skew
    return error.status == _FORBIDDEN and not has_hint


def _explain_not_found(error: AwsError, uri: S3Uri) -> NotFound:
    # HEAD of a bucket returns no code but its status
    code = error.code if uri.key else "NoSuchBucket"
    message = NOT_FOUND_CODES[code].format(bucket=error.bucket or uri.bucket, uri=uri)
    if code == "NoSuchBucket":
        return NotFound(message, hint=_NO_BUCKET_HINT, type=code)
    return NotFound(message, hint=_NO_OBJECT_HINT, type="NoSuchKey")


def _derive_needed(
    error: AwsError, uri: S3Uri, source: Optional[S3Uri], version: str
) -> tuple[Permission, ...]:
    """Returns the permissions that the operation needs, as far as they are known."""
    if not error.operation:
        return ()
    if uri.bucket or error.operation in S3_ACTIONS:
        return derive_s3_permissions(error.operation, uri, source=source, versioned=bool(version))
    return (Permission(error.operation, "*"),)


def _hint_service(error: AwsError, role: Optional[Role]) -> str:
    if error.is_clock_skew:
        return hint_clock_skew(error)
    if error.code in EXPIRED_CODES:
        return (
            f"the session of the role '{role or 'job'}' has expired, and a new one was refused the"
            " same way"
        )
    return hint_code(error)


def _explain_nested_assume(error: AwsError, role: Optional[Role], caller: str) -> StepError:
    """Explains a refused AssumeRole of code that assumes a role by itself."""
    denial = DenialMessage.parse(error.message)
    arn = denial.resource if denial and not denial.is_resource_quoted else ""
    try:
        RoleArn.parse(arn)
    except ValueError:
        return RoleRefused(
            f"AssumeRole: {error.message or error.code}",
            role=str(role or ""),
            hint=hint_sts(error, Caller(caller)),
            type=error.code,
        )
    return explain_role_refusal(Role(arn), error, Caller(caller))


@dataclass(frozen=True)
class _DeniedCall:
    """The denied action on a resource, or one of several, and the statements that allow them."""

    alternatives: tuple[tuple[str, str], ...]
    statements: tuple[Mapping[str, Any], ...]

    @classmethod
    def from_permissions(cls, *permissions: Permission) -> _DeniedCall:
        """Returns the denial of one of these permissions."""
        return cls(
            tuple((each.action, each.resource) for each in permissions),
            tuple(
                build_statement([each.action], [each.resource], render_condition(each.condition))
                for each in permissions
            ),
        )

    @property
    def actions(self) -> frozenset[str]:
        """The names of the actions."""
        return frozenset(action for action, _ in self.alternatives)

    @property
    def text(self) -> str:
        """The alternatives in words, to follow 'may not'."""
        return ", or not ".join(f"{action} on {resource}" for action, resource in self.alternatives)


def _explain_denial(
    error: AwsError, role: Optional[Role], caller: str, needed: Sequence[Permission]
) -> AccessDenied:
    denial = DenialMessage.parse(error.message)
    call = _identify_call(error, denial, role, needed)
    requester = (denial and denial.user) or caller
    hint = join_lines(
        [
            f"requested by {requester}." if requester else "",
            hint_explicit_deny(error),
            *(f"its policy may lack: {format_statement(each)}" for each in call.statements),
            *_note_other_policies(call, error, role),
            *hint_ids(error),
        ]
    )
    return AccessDenied(_describe_denial(error, denial, call, role), hint=hint)


def _describe_denial(
    error: AwsError, denial: Optional[DenialMessage], call: _DeniedCall, role: Optional[Role]
) -> str:
    subject = f"the role '{role}'" if role is not None else "the job"
    if call.alternatives:
        message = f"{subject} may not {call.text}"
    else:
        message = f"{subject} was refused: {error.message or error.code}"
    return f"{message}, {denial.reason}" if denial and denial.reason else message


def _identify_call(
    error: AwsError,
    denial: Optional[DenialMessage],
    role: Optional[Role],
    needed: Sequence[Permission],
) -> _DeniedCall:
    """Returns the denied call: named by the message, or else implied by the operation."""
    action = denial.action if denial else ""
    resource = denial.resource if denial else ""
    if action.startswith("kms:") or any(text in error.message for text in _KEY_DENIALS):
        return _identify_key_call(action, resource, error)
    partition, account = _find_home(role)
    likely = [resolve_for_role(each, partition, account) for each in needed]
    if not action:
        return _DeniedCall.from_permissions(*likely)
    same_action = [each for each in likely if each.action == action] or [
        replace_action(likely[-1], action) if likely else Permission(action, "*")
    ]
    return _DeniedCall.from_permissions(
        *(replace(each, resource=resource or each.resource) for each in same_action)
    )


def _find_home(role: Optional[Role]) -> tuple[str, str]:
    """Returns a role's partition and account."""
    arn = RoleArn.parse(role.arn) if role is not None and role.arn else None
    return (arn.partition, arn.account) if arn is not None else ("aws", "")


def _identify_key_call(action: str, key_arn: str, error: AwsError) -> _DeniedCall:
    """Returns the denied use of the object's KMS key, which has a policy of its own."""
    is_write = action == "kms:GenerateDataKey" or error.operation in _WRITE_OPERATIONS
    if not action.startswith("kms:"):
        action = "kms:GenerateDataKey" if is_write else "kms:Decrypt"
    # reading back the parts of a multipart upload needs Decrypt too
    actions = KEY_WRITE_ACTIONS if is_write else (action,)
    if not key_arn:
        statement = build_statement(list(actions), [_UNKNOWN_KEY])
        return _DeniedCall(((action, _UNKNOWN_KEY),), (statement,))
    service = _SECRET_SERVICES.get(error.operation, "s3")
    first = derive_key_permissions(actions, key_arn, service)[0]
    condition = render_condition(first.condition)
    statement = build_statement(list(actions), [first.resource], condition)
    return _DeniedCall(((action, key_arn),), (statement,))


def _note_other_policies(call: _DeniedCall, error: AwsError, role: Optional[Role]) -> Iterator[str]:
    """Yields the other policies that may deny the call."""
    if role is not None and role.policy:
        yield (
            "the session has a policy of its own (session_policy), which must allow it too:"
            " 'rolerunner plan' shows it. With auto, declare under the step's 'permissions' what"
            " cannot be derived from its fields."
        )
    services = {part for _, resource in call.alternatives for part in resource.split(":")[2:3]}
    if any(action.startswith("kms:") for action in call.actions):
        yield (
            "the key's own policy must allow the role, or leave it to IAM policies; a key of"
            " another account needs both, and its full ARN."
        )
    elif services & _S3_SERVICES:
        yield (
            "if the bucket is in another account, its bucket policy must allow the role too; an"
            " SCP or a session policy may deny as well."
        )
    if "secretsmanager:GetSecretValue" in call.actions:
        yield (
            "a secret that does not exist gives the same error. A secret of another account must"
            " allow the role in its own policy too, and needs a KMS key that allows it."
        )
    if error.operation in COPY_OPERATIONS and len(call.alternatives) > 1:
        yield (
            "AWS does not report which of them; where the source has tags, s3:GetObjectTagging on"
            " it and s3:PutObjectTagging on the target are needed too."
        )
    if call.actions <= _READ_ACTIONS and error.operation in _READ_OPERATIONS:
        yield "an object that does not exist gives a role without s3:ListBucket the same error."
