"""Why AWS said no, in words, and the statements that could be missing. Knows error codes and texts, makes no calls.

AWS seldom says which of several policies lacks what, and a role that does not exist gives the same answer as one that
may not be assumed. So no single cause is claimed: both halves are printed, ready to paste.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.calls import (
    LISTS,
    ON_BUCKET,
    WRITES_KEY,
    actions_of,
    bucket_arn,
    condition_json,
    key_permissions,
    object_arn,
    one,
    prefix_condition,
    statement,
)
from rolerunner.errors import AccessDenied, NotFound, RoleRefused, ServiceFailed, StepError
from rolerunner.model import Role, RoleArn, S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden", "UnauthorizedOperation", "AllAccessDisabled"})
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
NOT_FOUND_CODES = {
    "NoSuchBucket": "there is no bucket '{bucket}'",
    "NoSuchKey": "there is no object {uri}",
    "NoSuchVersion": "there is no such version of {uri}",
    "404": "there is no object {uri}",
    "NotFound": "there is no object {uri}",
}
_MESSAGE = re.compile(
    r"User:\s*(?P<user>arn:\S+)?\s*is not authorized to perform: (?P<action>[\w*:-]+)"
    r"(?: on resource: (?:\"(?P<quoted>[^\"]*)\"|(?P<bare>\S+)))?(?P<reason>.*)",
    re.DOTALL,
)
_ASSUMED = re.compile(r"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>\d{12}):assumed-role/(?P<name>[^/]+)/.*")
_ANY = re.compile(r"arn:(?P<partition>aws[a-z-]*):(?:iam|sts)::(?P<account>\d{12}):.+")
_ENCODED = re.compile(r"[Ee]ncoded authorization failure message: (\S+)")
_AUTHORIZATION_ID = re.compile(r"authorization id:? ?([\w-]+)", re.IGNORECASE)
_UNKNOWN_KEY = "<the ARN of the KMS key>"
_THROTTLED = "AWS asks for fewer requests; this passes: try again, or lower the number of workers"
_PLAIN_HINTS = {
    "PackedPolicyTooLarge": "make the session policy or the tags shorter: AWS packs both into one small space",
    "MalformedPolicyDocument": "the session policy is not valid policy text: see the message for the place",
    "RegionDisabledException": "STS is off in this region: an administrator of the role's account must activate it, or choose another 'region:'",
    "InvalidClientTokenId": "the caller's keys are wrong or revoked, of another partition, or of an opt-in region that is switched off",
    "InvalidToken": "the session is revoked, of another partition, or of an opt-in region that is switched off",
    "InvalidAccessKeyId": "the keys are revoked, or of another partition",
    "SignatureDoesNotMatch": "the caller's secret key is wrong, or this machine's clock is",
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "SlowDown": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "InvalidObjectState": "the object is archived in Glacier: restore it first",
    "KMS.DisabledException": "the KMS key is disabled",
    "KMS.NotFoundException": "there is no such KMS key in the bucket's region",
    "KMS.KMSInvalidStateException": "the KMS key is not usable: pending deletion, import or creation",
}
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired"})


@dataclass(frozen=True)
class AwsError:
    """An error answer of AWS, taken apart. ``operation`` is the API's own name, ``date`` AWS's clock as its answer shows it."""

    code: str
    message: str
    operation: str
    request_id: str = ""
    status: int = 0
    date: str = ""

    @classmethod
    def of(cls, error: Any) -> AwsError:
        """Take a botocore ClientError apart."""
        answer: Mapping[str, Any] = error.response
        inner = answer.get("Error", {})
        metadata = answer.get("ResponseMetadata", {})
        return cls(
            code=str(inner.get("Code", "")),
            message=str(inner.get("Message", "")),
            operation=str(getattr(error, "operation_name", "")),
            request_id=str(metadata.get("RequestId", "")),
            status=int(metadata.get("HTTPStatusCode") or 0),
            date=str(metadata.get("HTTPHeaders", {}).get("date", "")),
        )

    @property
    def is_clock(self) -> bool:
        """Is it about this machine's clock?"""
        return self.code in _SKEWED or "Signature expired" in self.message or "Signature not yet current" in self.message


@dataclass(frozen=True)
class Caller:
    """Who asked: the ARN as STS shows it, and the full ARN of the role behind it where that is known.

    An assumed-role ARN leaves out the role's path (role/service-role/X shows as assumed-role/X), and IAM refuses a
    trust policy that names a role's ARN without its path.
    """

    arn: str = ""
    role_arn: str = ""

    @property
    def account(self) -> str:
        """Its account, empty where nothing is known."""
        found = _ANY.match(self.role_arn or self.arn)
        return found["account"] if found else ""


def role_refused(role: Role, error: AwsError, caller: Caller) -> RoleRefused:
    """STS refused AssumeRole. The ARN that the answer names wins over ``caller``."""
    spoken = _MESSAGE.search(error.message)
    if spoken and spoken["user"] and spoken["user"] != caller.arn:
        caller = Caller(spoken["user"])
    refused = f"the role '{role}' could not be assumed: {error.message or error.code}"
    hint = _both_statements(role, caller, error) if error.code in DENIED_CODES else _sts_hint(error, caller)
    return RoleRefused(refused, role=str(role), hint=hint, type="RoleRefused" if error.code in DENIED_CODES else error.code, asked_by=caller.arn)


def _sts_hint(error: AwsError, caller: Caller) -> str:
    if error.is_clock:
        return _clock_hint(error)
    if error.code in EXPIRED_CODES:
        return f"the credentials of {caller.arn or 'the job'} have expired, and looking them up again gave no newer ones"
    if "1 hour session limit" in error.message:
        return "a role assumed from another role's session lasts an hour at most: say 'duration: 1h' (3600 seconds) or less"
    if "MaxSessionDuration" in error.message:
        return "the role's own maximum session duration is shorter: say a shorter 'duration', or raise MaxSessionDuration on the role"
    return "\n".join(line for line in (_PLAIN_HINTS.get(error.code, ""), _request_line(error)) if line)


def _clock_hint(error: AwsError) -> str:
    here = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return f"the clocks differ: this machine says {here}, AWS says {error.date or 'what its message tells'}; set this machine's clock"


def _both_statements(role: Role, caller: Caller, error: AwsError) -> str:
    target = RoleArn.parse(role.arn)
    trust = trust_statements(role, caller)
    lines = [
        f"asked by {caller.arn or 'the job (its identity is not known)'}; AWS does not say for certain what is missing, nor whether the role exists.",
        _deny_line(error),
        f"1. the caller's own policy needs: {_compact(caller_statement(role))}",
        f"2. the trust policy of {role.arn} needs: {', '.join(map(_compact, trust))}",
        _account_note(caller, target),
        _path_note(caller),
        _external_id_note(role),
        *_ids(error),
    ]
    return "\n".join(line for line in lines if line)


def caller_statement(role: Role) -> dict[str, Any]:
    """What the policy of whoever assumes the role must allow."""
    return statement(list(assume_actions(role)), [role.arn])


def trust_statements(role: Role, caller: Caller) -> list[dict[str, Any]]:
    """What the role's trust policy must allow. The external id is asked for with AssumeRole alone.

    TagSession and SetSourceIdentity stand apart then: the condition is documented for AssumeRole only.
    """
    principal, condition = _principal(caller)
    base: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": principal}}
    extra = _extra_actions(role)
    if not role.external_id:
        return [{**base, "Action": one(["sts:AssumeRole", *extra]), **_condition(condition)}]
    with_id = {**condition, "StringEquals": {"sts:ExternalId": role.external_id}}
    first = {**base, "Action": "sts:AssumeRole", **_condition(with_id)}
    return [first, {**base, "Action": one(extra), **_condition(condition)}] if extra else [first]


def assume_actions(role: Role) -> tuple[str, ...]:
    """What assuming the role takes: AssumeRole, and what its tags and source identity ask for."""
    return ("sts:AssumeRole", *_extra_actions(role))


def _extra_actions(role: Role) -> list[str]:
    return [*(["sts:TagSession"] if role.tags else []), *(["sts:SetSourceIdentity"] if role.source_identity else [])]


def _condition(condition: Mapping[str, Any]) -> dict[str, Any]:
    return {"Condition": condition} if condition else {}


def _principal(caller: Caller) -> tuple[str, dict[str, Any]]:
    if caller.role_arn:
        return caller.role_arn, {}
    assumed = _ASSUMED.match(caller.arn)
    if assumed is None:
        return caller.arn or "<the ARN of the job's role>", {}
    roles = f"arn:{assumed['partition']}:iam::{assumed['account']}:role/"
    # both forms and not role/*NAME, which would let in every role whose name ends like this one
    patterns = [f"{roles}{assumed['name']}", f"{roles}*/{assumed['name']}"]
    return f"arn:{assumed['partition']}:iam::{assumed['account']}:root", {"ArnLike": {"aws:PrincipalArn": patterns}}


def _path_note(caller: Caller) -> str:
    if caller.role_arn or not _ASSUMED.match(caller.arn):
        return ""
    return (
        "an assumed-role ARN leaves out the role's path and iam:GetRole is not allowed here, so 2 names the account and holds the role's name in a "
        "condition; where you know the role's full ARN, name that. With the account as principal, 1 is needed in any case."
    )


def _account_note(caller: Caller, target: RoleArn) -> str:
    if not caller.account:
        return "in the same account either can be enough; across accounts both are needed."
    if caller.account == target.account:
        return f"both are in account {target.account}: 2 is enough where it names the caller itself; else both are needed."
    return f"the accounts differ ({caller.account} and {target.account}): both are needed."


def _external_id_note(role: Role) -> str:
    if role.external_id:
        return "a wrong external id gives this same answer."
    return "a missing external id gives this same answer: if the trust policy asks for sts:ExternalId, set 'external_id' on the role."


def _deny_line(error: AwsError) -> str:
    found = re.search(r"with an explicit deny in an? ([\w-]+(?: [\w-]+)*? policy|[\w -]+)", error.message)
    return f"AWS names an explicit deny in the {found[1].removeprefix('the ')}: it wins over every Allow." if found else ""


def _ids(error: AwsError) -> Iterable[str]:
    encoded, authorization = _ENCODED.search(error.message), _AUTHORIZATION_ID.search(error.message)
    if encoded:
        yield f"the message is encoded; read it with: aws sts decode-authorization-message --encoded-message {encoded[1]}"
    if authorization:
        yield f"authorization id {authorization[1]}"
    yield _request_line(error)


def _request_line(error: AwsError) -> str:
    return f"request id {error.request_id}" if error.request_id else ""


def step_failed(error: AwsError, role: Optional[Role], *, caller: str = "", bucket: str = "", key: str = "") -> StepError:
    """An error answer of a service, as the step's failure. ``bucket`` and ``key`` (or prefix) say what was worked on."""
    uri = f"s3://{bucket}/{key}"
    if error.operation == "AssumeRole":
        return _assume_failed(error, role, caller)
    if error.code in NOT_FOUND_CODES and bucket:
        text = NOT_FOUND_CODES[error.code].format(bucket=bucket, uri=uri)
        return NotFound(text, type="NoSuchBucket" if error.code == "NoSuchBucket" else "NoSuchKey")
    known = error.code in _PLAIN_HINTS or error.code in EXPIRED_CODES or error.is_clock
    if error.code in DENIED_CODES or (error.status == 403 and not known):  # noqa: PLR2004 - HTTP
        return _denied(error, role, caller, bucket, key)
    message = f"{error.operation}: {error.message or error.code}" + (f" ({uri})" if bucket else "")
    return ServiceFailed(message, hint=_service_hint(error, role), type=error.code or "ServiceFailed")


def _service_hint(error: AwsError, role: Optional[Role]) -> str:
    if error.is_clock:
        return _clock_hint(error)
    if error.code in EXPIRED_CODES:
        return f"the session of the role '{role or 'job'}' has expired, and a new one was refused the same way"
    return "\n".join(line for line in (_PLAIN_HINTS.get(error.code, ""), _request_line(error)) if line)


def _assume_failed(error: AwsError, role: Optional[Role], caller: str) -> StepError:
    """A role was refused to code that assumes it by itself: the role, not the service that was called."""
    spoken = _MESSAGE.search(error.message)
    arn = (spoken["bare"] or "").rstrip(".,") if spoken else ""
    try:
        RoleArn.parse(arn)
    except ValueError:
        return RoleRefused(f"AssumeRole: {error.message or error.code}", role=str(role or ""), hint=_sts_hint(error, Caller(caller)), type=error.code)
    return role_refused(Role(arn), error, Caller(caller))


@dataclass(frozen=True)
class _Denial:
    action: str
    resource: str
    statement: Mapping[str, Any]


def _denied(error: AwsError, role: Optional[Role], caller: str, bucket: str, key: str) -> AccessDenied:
    spoken = _MESSAGE.search(error.message)
    denial = _denial(error, spoken, role, bucket, key)
    who = (spoken and spoken["user"]) or caller
    who_may_not = f"the role '{role}'" if role is not None else "the job"
    message = f"{who_may_not} may not {denial.action} on {denial.resource}"
    reason = spoken["reason"].strip(" .,") if spoken else ""
    lines = [
        f"asked as {who}." if who else "",
        _deny_line(error),
        f"its policy may lack: {_compact(denial.statement)}",
        *_other_policies(denial, error, bucket, role),
        *_ids(error),
    ]
    return AccessDenied(f"{message}, {reason}" if reason else message, hint="\n".join(line for line in lines if line))


def _denial(error: AwsError, spoken: Optional[re.Match[str]], role: Optional[Role], bucket: str, key: str) -> _Denial:
    action = spoken["action"] if spoken else _s3_action(error) if bucket else error.operation
    named = ((spoken["quoted"] or spoken["bare"] or "").rstrip(".,")) if spoken else ""
    if "ciphertext refers to" in error.message or action.startswith("kms:"):
        return _kms_denial(action, named, error)
    resource = named or (_s3_resource(action, bucket, key, role) if bucket else "*")
    condition = condition_json(prefix_condition(key)) if action in LISTS else None
    return _Denial(action, resource, statement([action], [resource], condition))


def _s3_action(error: AwsError) -> str:
    """The action that the operation needs; of several the one on the object that is written."""
    return actions_of("s3", error.operation, "s3")[-1]


def _kms_denial(action: str, key_arn: str, error: AwsError) -> _Denial:
    """The key that S3 uses for the object, not the object: the two have policies of their own."""
    writing = action == "kms:GenerateDataKey" or error.operation in {"PutObject", "CreateMultipartUpload", "CopyObject"}
    if not action.startswith("kms:"):
        action = "kms:GenerateDataKey" if writing else "kms:Decrypt"
    # reading back parts of a multipart upload needs Decrypt too
    actions = WRITES_KEY if writing else (action,)
    if not key_arn:
        return _Denial(action, _UNKNOWN_KEY, statement(list(actions), [_UNKNOWN_KEY]))
    first = key_permissions(actions, key_arn)[0]
    return _Denial(action, key_arn, statement(list(actions), [first.resource], condition_json(first.condition)))


def _other_policies(denial: _Denial, error: AwsError, bucket: str, role: Optional[Role]) -> Iterable[str]:
    if role is not None and role.policy:
        yield (
            "the session has a policy of its own (session_policy), which must allow it too: 'rolerunner plan' shows it; with auto, a step says "
            "under 'permissions' what its fields do not tell."
        )
    if denial.action.startswith("kms:"):
        yield "the key's own policy must allow the role, or leave it to IAM policies; a key of another account needs both, and its full ARN."
    elif bucket:
        yield "if the bucket is in another account, its bucket policy must allow the role too; an SCP or a session policy may deny as well."
    if denial.action == "s3:GetObject" and error.operation in {"GetObject", "HeadObject"}:
        yield "an object that does not exist gives this same answer to a role that may not s3:ListBucket."


def _s3_resource(action: str, bucket: str, key: str, role: Optional[Role]) -> str:
    partition = RoleArn.parse(role.arn).partition if role is not None and role.arn else "aws"
    # not what is below a prefix: the refusal is about this key
    return bucket_arn(S3Uri(bucket), partition) if action in ON_BUCKET or not key else object_arn(S3Uri(bucket, key), partition)


def _compact(statement: Mapping[str, Any]) -> str:
    return json.dumps(statement, ensure_ascii=False)


_THROTTLES = frozenset(
    {
        "SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
        "BandwidthLimitExceeded", "ProvisionedThroughputExceededException",
    }
)  # fmt: skip
_PASSING = _THROTTLES | frozenset(
    {
        "RequestTimeout", "RequestTimeoutException", "InternalError",
        "InternalFailure", "InternalServerError", "ServiceUnavailable", "ServiceUnavailableException", "OperationAborted", "500", "502", "503", "504",
        "ConnectTimeoutError", "ReadTimeoutError", "EndpointConnectionError", "ConnectionClosedError", "IncompleteReadError",
        "ResponseStreamingError", "HTTPClientError", "ProxyConnectionError", "SSLError", "ConnectionError", "ConnectionResetError", "TimeoutError",
        "BrokenPipeError", "StsUnreachable", "Timeout", "IntegrityFailed", "PreconditionFailed", "412",
    }
)  # fmt: skip


def is_passing(error: BaseException) -> bool:
    """May trying again help? Throttling, 5xx, lost connections and timeouts pass; refusals and mistakes do not."""
    return isinstance(error, StepError) and error.type in _PASSING


def is_throttled(error: BaseException) -> bool:
    """Return whether AWS refused the request for its rate, so that it had no effect."""
    return isinstance(error, StepError) and error.type in _THROTTLES
