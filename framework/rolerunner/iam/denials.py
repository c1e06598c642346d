"""Why AWS said no, in words, and the statements that could be missing. Knows error codes and texts, makes no calls.

AWS seldom says which of several policies lacks what, and a role that does not exist gives the same answer as one that
may not be assumed. So no single cause is claimed: both halves are printed, ready to paste.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime, timezone
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
    unwrap_single,
)
from rolerunner.model import Permission, Role, RoleArn, S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "403",
        "Forbidden",
        "UnauthorizedOperation",
        "AllAccessDisabled",
    }
)
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
_ASSUMED = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>\d{12}):assumed-role/(?P<name>[^/]+)/.*"
)
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
    "NoSuchUpload": "the multipart upload was aborted, by a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) or by somebody else",
    "InvalidObjectState": "the object is archived in Glacier: restore it first",
    "KMS.DisabledException": "the KMS key is disabled",
    "KMS.NotFoundException": "there is no such KMS key in the bucket's region",
    "KMS.KMSInvalidStateException": "the KMS key is not usable: pending deletion, import or creation",
}
_READS, _READING = (
    frozenset({"s3:GetObject", "s3:GetObjectVersion"}),
    frozenset({"GetObject", "HeadObject"}),
)
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
    retried: int = 0
    """How often the request had been sent before."""
    bucket: str = ""
    """The bucket that the response names."""

    @classmethod
    def of(cls, error: Any) -> AwsError:
        """Take a botocore ClientError apart."""
        answer: Mapping[str, Any] = error.response
        # some servers answer STS with S3's form, whose Code is not within an <Error>; botocore leaves that at the top
        inner = answer.get("Error") or answer
        metadata = answer.get("ResponseMetadata", {})
        return cls(
            code=str(inner.get("Code") or ""),
            message=str(inner.get("Message") or ""),
            operation=str(getattr(error, "operation_name", "")),
            request_id=str(metadata.get("RequestId") or ""),
            status=int(metadata.get("HTTPStatusCode") or 0),
            date=str(metadata.get("HTTPHeaders", {}).get("date", "")),
            retried=int(metadata.get("RetryAttempts") or 0),
            bucket=str(inner.get("BucketName") or ""),
        )

    @property
    def is_clock(self) -> bool:
        """Is it about this machine's clock?"""
        return (
            self.code in _SKEWED
            or "Signature expired" in self.message
            or "Signature not yet current" in self.message
        )


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


def explain_role_refusal(role: Role, error: AwsError, caller: Caller) -> RoleRefused:
    """STS refused AssumeRole. The ARN that the answer names wins over ``caller``."""
    spoken = _MESSAGE.search(error.message)
    if spoken and spoken["user"] and spoken["user"] != caller.arn:
        caller = Caller(spoken["user"])
    refused = f"the role '{role}' could not be assumed: {error.message or error.code}"
    hint = (
        _both_statements(role, caller, error)
        if error.code in DENIED_CODES
        else _sts_hint(error, caller)
    )
    return RoleRefused(
        refused,
        role=str(role),
        hint=hint,
        type="RoleRefused" if error.code in DENIED_CODES else error.code,
        asked_by=caller.arn,
    )


def _sts_hint(error: AwsError, caller: Caller) -> str:
    if error.is_clock:
        return _clock_hint(error)
    if error.code in EXPIRED_CODES:
        return f"the credentials of {caller.arn or 'the job'} have expired, and looking them up again gave no newer ones"
    if "1 hour session limit" in error.message:
        return "a role assumed from another role's session lasts an hour at most: say 'duration: 1h' (3600 seconds) or less"
    if "MaxSessionDuration" in error.message:
        return "the role's own maximum session duration is shorter: say a shorter 'duration', or raise MaxSessionDuration on the role"
    return "\n".join(
        line for line in (_PLAIN_HINTS.get(error.code, ""), _request_line(error)) if line
    )


def _clock_hint(error: AwsError) -> str:
    here = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return f"the clocks differ: this machine says {here}, AWS says {error.date or 'what its message tells'}; set this machine's clock"


def _both_statements(role: Role, caller: Caller, error: AwsError) -> str:
    target = RoleArn.parse(role.arn)
    trust = build_trust_statements(role, caller)
    lines = [
        f"asked by {caller.arn or 'the job (its identity is not known)'}; AWS does not say for certain what is missing, nor whether the role exists.",
        _deny_line(error),
        f"1. the caller's own policy needs: {_compact(build_caller_statement(role))}",
        f"2. the trust policy of {role.arn} needs: {', '.join(map(_compact, trust))}",
        _account_note(caller, target),
        _path_note(caller),
        _external_id_note(role),
        *_ids(error),
    ]
    return "\n".join(line for line in lines if line)


def build_caller_statement(role: Role) -> dict[str, Any]:
    """What the policy of whoever assumes the role must allow."""
    return build_statement(list(list_assume_actions(role)), [role.arn])


def build_trust_statements(role: Role, caller: Caller) -> list[dict[str, Any]]:
    """What the role's trust policy must allow. The external id is asked for with AssumeRole alone.

    TagSession and SetSourceIdentity stand apart then: the condition is documented for AssumeRole only.
    """
    principal, condition = _principal(caller)
    base: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": principal}}
    extra = _extra_actions(role)
    if not role.external_id:
        return [
            {**base, "Action": unwrap_single(["sts:AssumeRole", *extra]), **_condition(condition)}
        ]
    with_id = {**condition, "StringEquals": {"sts:ExternalId": role.external_id}}
    first = {**base, "Action": "sts:AssumeRole", **_condition(with_id)}
    return (
        [first, {**base, "Action": unwrap_single(extra), **_condition(condition)}]
        if extra
        else [first]
    )


def list_assume_actions(role: Role) -> tuple[str, ...]:
    """What assuming the role takes: AssumeRole, and what its tags and source identity ask for."""
    return ("sts:AssumeRole", *_extra_actions(role))


def _extra_actions(role: Role) -> list[str]:
    return [
        *(["sts:TagSession"] if role.tags else []),
        *(["sts:SetSourceIdentity"] if role.source_identity else []),
    ]


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
    return f"arn:{assumed['partition']}:iam::{assumed['account']}:root", {
        "ArnLike": {"aws:PrincipalArn": patterns}
    }


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
    found = re.search(
        r"with an explicit deny in an? ([\w-]+(?: [\w-]+)*? policy|[\w -]+)", error.message
    )
    return (
        f"AWS names an explicit deny in the {found[1].removeprefix('the ')}: it wins over every Allow."
        if found
        else ""
    )


def _ids(error: AwsError) -> Iterable[str]:
    encoded, authorization = _ENCODED.search(error.message), _AUTHORIZATION_ID.search(error.message)
    if encoded:
        yield f"the message is encoded; read it with: aws sts decode-authorization-message --encoded-message {encoded[1]}"
    if authorization:
        yield f"authorization id {authorization[1]}"
    yield _request_line(error)


def _request_line(error: AwsError) -> str:
    return f"request id {error.request_id}" if error.request_id else ""


def explain_error(
    error: AwsError, role: Optional[Role], *, caller: str = "", bucket: str = "", key: str = "", source: Optional[S3Uri] = None,
    version: str = "", needed: Sequence[Permission] = (),
) -> StepError:  # fmt: skip
    """An error response of a service, as the step's failure.

    ``bucket`` and ``key`` (or a prefix) are where S3 worked, ``source`` is the object that a copy reads, ``version`` the
    version that the request named. ``needed`` are the permissions of the call, where it is not one of those.
    """
    if error.operation == "AssumeRole":
        return _assume_failed(error, role, caller)
    place = S3Uri(bucket, key)
    if error.code in NOT_FOUND_CODES and bucket:
        return _not_found(
            error,
            source if source is not None and error.code not in {"NoSuchBucket", "404"} else place,
        )
    known = error.code in _PLAIN_HINTS or error.code in EXPIRED_CODES or error.is_clock
    if error.code in DENIED_CODES or (error.status == 403 and not known):  # noqa: PLR2004 - HTTP
        needed = needed or _needed(error, place, source, version)
        return _denied(error, role, caller, needed)
    message = f"{error.operation}: {error.message or error.code}" + (
        f" ({place})" if bucket else ""
    )
    return ServiceFailed(
        message, hint=_service_hint(error, role), type=error.code or "ServiceFailed"
    )


def _not_found(error: AwsError, place: S3Uri) -> NotFound:
    code = (
        error.code if place.key else "NoSuchBucket"
    )  # HEAD of a bucket has no code but its status
    text = NOT_FOUND_CODES[code].format(bucket=error.bucket or place.bucket, uri=place)
    return NotFound(text, type="NoSuchBucket" if code == "NoSuchBucket" else "NoSuchKey")


def _needed(
    error: AwsError, place: S3Uri, source: Optional[S3Uri], version: str
) -> tuple[Permission, ...]:
    """The permissions that the operation takes, as far as they are known."""
    if not error.operation:
        return ()
    if place.bucket or error.operation in S3_ACTIONS:
        return derive_s3_permissions(error.operation, place, source=source, versioned=bool(version))
    return (Permission(error.operation, "*"),)


def _service_hint(error: AwsError, role: Optional[Role]) -> str:
    if error.is_clock:
        return _clock_hint(error)
    if error.code in EXPIRED_CODES:
        return f"the session of the role '{role or 'job'}' has expired, and a new one was refused the same way"
    return "\n".join(
        line for line in (_PLAIN_HINTS.get(error.code, ""), _request_line(error)) if line
    )


def _assume_failed(error: AwsError, role: Optional[Role], caller: str) -> StepError:
    """A role was refused to code that assumes it by itself: the role, not the service that was called."""
    spoken = _MESSAGE.search(error.message)
    arn = (spoken["bare"] or "").rstrip(".,") if spoken else ""
    try:
        RoleArn.parse(arn)
    except ValueError:
        return RoleRefused(
            f"AssumeRole: {error.message or error.code}",
            role=str(role or ""),
            hint=_sts_hint(error, Caller(caller)),
            type=error.code,
        )
    return explain_role_refusal(Role(arn), error, Caller(caller))


@dataclass(frozen=True)
class _Denial:
    """What was refused: an action on a resource, or one of several; and the statements that allow it."""

    refused: tuple[tuple[str, str], ...]
    statements: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, *permissions: Permission) -> _Denial:
        """A permission, or one of several."""
        return cls(
            tuple((each.action, each.resource) for each in permissions),
            tuple(
                build_statement([each.action], [each.resource], render_condition(each.condition))
                for each in permissions
            ),
        )

    @property
    def actions(self) -> frozenset[str]:
        """Their names."""
        return frozenset(action for action, _ in self.refused)

    @property
    def text(self) -> str:
        """In words, after 'may not'."""
        return ", or not ".join(f"{action} on {resource}" for action, resource in self.refused)


def _denied(
    error: AwsError, role: Optional[Role], caller: str, needed: Sequence[Permission]
) -> AccessDenied:
    spoken = _MESSAGE.search(error.message)
    denial = _denial(error, spoken, role, needed)
    who = (spoken and spoken["user"]) or caller
    who_may_not = f"the role '{role}'" if role is not None else "the job"
    message = (
        f"{who_may_not} may not {denial.text}"
        if denial.refused
        else f"{who_may_not} was refused: {error.message or error.code}"
    )
    reason = spoken["reason"].strip(" .,") if spoken else ""
    lines = [
        f"asked as {who}." if who else "",
        _deny_line(error),
        *(f"its policy may lack: {_compact(each)}" for each in denial.statements),
        *_other_policies(denial, error, role),
        *_ids(error),
    ]
    return AccessDenied(
        f"{message}, {reason}" if reason else message,
        hint="\n".join(line for line in lines if line),
    )


def _denial(
    error: AwsError,
    spoken: Optional[re.Match[str]],
    role: Optional[Role],
    needed: Sequence[Permission],
) -> _Denial:
    """The action and resource that the message names; what it does not name, the operation tells."""
    action = spoken["action"] if spoken else ""
    named = (spoken["quoted"] or spoken["bare"] or "").rstrip(".,") if spoken else ""
    if "ciphertext refers to" in error.message or action.startswith("kms:"):
        return _kms_denial(action, named, error)
    partition, account = _home_of(role)
    likely = [resolve_for_role(each, partition, account) for each in needed]
    if action:
        found = [each for each in likely if each.action == action] or [
            replace_action(likely[-1], action) if likely else Permission(action, "*")
        ]
        return _Denial.of(*(replace(each, resource=named or each.resource) for each in found))
    return _Denial.of(*likely)


def _home_of(role: Optional[Role]) -> tuple[str, str]:
    """A role's partition and account."""
    arn = RoleArn.parse(role.arn) if role is not None and role.arn else None
    return (arn.partition, arn.account) if arn is not None else ("aws", "")


def _kms_denial(action: str, key_arn: str, error: AwsError) -> _Denial:
    """The key that S3 uses for the object, not the object: the two have policies of their own."""
    writing = action == "kms:GenerateDataKey" or error.operation in {
        "PutObject",
        "CreateMultipartUpload",
        "CopyObject",
    }
    if not action.startswith("kms:"):
        action = "kms:GenerateDataKey" if writing else "kms:Decrypt"
    # reading back parts of a multipart upload needs Decrypt too
    actions = KEY_WRITE_ACTIONS if writing else (action,)
    if not key_arn:
        return _Denial(((action, _UNKNOWN_KEY),), (build_statement(list(actions), [_UNKNOWN_KEY]),))
    first = derive_key_permissions(actions, key_arn)[0]
    return _Denial(
        ((action, key_arn),),
        (build_statement(list(actions), [first.resource], render_condition(first.condition)),),
    )


def _other_policies(denial: _Denial, error: AwsError, role: Optional[Role]) -> Iterable[str]:
    if role is not None and role.policy:
        yield (
            "the session has a policy of its own (session_policy), which must allow it too: 'rolerunner plan' shows it; with auto, a step says "
            "under 'permissions' what its fields do not tell."
        )
    if any(action.startswith("kms:") for action in denial.actions):
        yield "the key's own policy must allow the role, or leave it to IAM policies; a key of another account needs both, and its full ARN."
    elif any(resource.split(":")[2:3] in (["s3"], ["s3express"]) for _, resource in denial.refused):
        yield "if the bucket is in another account, its bucket policy must allow the role too; an SCP or a session policy may deny as well."
    if error.operation in COPY_OPERATIONS and len(denial.refused) > 1:
        yield "AWS does not say which of them; where the source has tags, s3:GetObjectTagging there and s3:PutObjectTagging here are needed too."
    if denial.actions <= _READS and error.operation in _READING:
        yield "an object that does not exist gives this same answer to a role that may not s3:ListBucket."


def _compact(build_statement: Mapping[str, Any]) -> str:
    return json.dumps(build_statement, ensure_ascii=False)


_TOO_MANY, _UNAVAILABLE = 429, 503
_THROTTLES = frozenset(
    {
        "SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
        "BandwidthLimitExceeded", "ProvisionedThroughputExceededException",
    }
)  # fmt: skip
TRAILER_REFUSED = "TrailerRefused"
"""The type of a failure that is cured by sending the object in another form."""
_PASSING = _THROTTLES | frozenset(
    {
        TRAILER_REFUSED,
        "RequestTimeout", "RequestTimeoutException", "InternalError",
        "InternalFailure", "InternalServerError", "ServiceUnavailable", "ServiceUnavailableException", "OperationAborted",
        "ConditionalRequestConflict", "NoSuchUpload", "429", "500", "502", "503", "504",
        "ConnectTimeoutError", "ReadTimeoutError", "EndpointConnectionError", "ConnectionClosedError", "IncompleteReadError",
        "ResponseStreamingError", "HTTPClientError", "ProxyConnectionError", "SSLError", "ConnectionError", "ConnectionResetError", "TimeoutError",
        "BrokenPipeError", "StsUnreachable", "Timeout", "IntegrityFailed", "ObjectChanged", "PreconditionFailed", "412",
    }
)  # fmt: skip


CONFLICT_CODES = frozenset({"OperationAborted", "ConditionalRequestConflict"})
"""Codes of 409 that S3 asks to be tried again; other conflicts stay."""


def is_conflict(code: str, operation: str) -> bool:
    """Whether S3 asks for the same request once more. A multipart upload that conflicts is to be begun again as a whole."""
    return code in CONFLICT_CODES and (code, operation) != (
        "ConditionalRequestConflict",
        "CompleteMultipartUpload",
    )


def is_retryable(error: BaseException) -> bool:
    """May trying again help? Throttling, 5xx, lost connections and timeouts pass; refusals and mistakes do not."""
    return isinstance(error, StepError) and error.type in _PASSING


def is_throttling_response(error: AwsError) -> bool:
    """Return whether a service asks for fewer requests: a repetition after a pause may succeed."""
    return error.code in _THROTTLES or error.status in (_TOO_MANY, _UNAVAILABLE)


def is_throttling_failure(error: BaseException) -> bool:
    """Return whether AWS refused the request for its rate, so that it had no effect."""
    return isinstance(error, StepError) and error.type in _THROTTLES
