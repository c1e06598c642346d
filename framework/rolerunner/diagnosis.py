"""Why AWS said no, in words, and the statements that could be missing. Knows error codes and texts, makes no calls."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import AccessDenied, NotFound, RoleRefused, ServiceFailed, StepError
from rolerunner.model import Role, RoleArn

if TYPE_CHECKING:
    from collections.abc import Mapping

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden", "UnauthorizedOperation", "AllAccessDisabled"})
NOT_FOUND_CODES = {
    "NoSuchBucket": "there is no bucket '{bucket}'",
    "NoSuchKey": "there is no object {uri}",
    "NoSuchVersion": "there is no such version of {uri}",
    "404": "there is no object {uri}",
    "NotFound": "there is no object {uri}",
}
_MESSAGE = re.compile(
    r"User: (?P<user>\S+) is not authorized to perform: (?P<action>\S+)(?: on resource: (?P<resource>\S+))?"
    r"(?P<reason>.*)",
    re.DOTALL,
)
_ASSUMED = re.compile(r"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>\d{12}):assumed-role/(?P<name>[^/]+)/.*")
_PLAIN_HINTS = {
    "PackedPolicyTooLarge": "make the session policy or the tags shorter: AWS packs both into one small space",
    "MalformedPolicyDocument": "the session policy is not valid JSON policy text",
    "RegionDisabledException": "an administrator of the role's account must activate STS in this region, or choose another 'region:'",
    "InvalidClientTokenId": "the source's keys are wrong, revoked, or of another partition or an opt-in region that is off",
    "InvalidToken": "the session is of another partition, revoked, or from an opt-in region that is off",
    "ExpiredToken": "the source's own session has expired",
    "ExpiredTokenException": "the source's own session has expired",
    "RequestTimeTooSkewed": "this machine's clock is wrong by more than AWS allows",
    "SignatureDoesNotMatch": "the source's secret key is wrong, or this machine's clock is",
    "SlowDown": "S3 asks for fewer requests; try again later or lower the number of workers",
    "InvalidObjectState": "the object is archived in Glacier: restore it first",
}


@dataclass(frozen=True)
class AwsError:
    """An error answer of AWS, taken apart. ``operation`` is the API's own name, such as AssumeRole."""

    code: str
    message: str
    operation: str
    request_id: str = ""
    status: int = 0

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
        )


def role_refused(role: Role, error: AwsError, caller: str) -> RoleRefused:
    """STS refused AssumeRole. ``caller`` is who asked, if known; the answer's own words win."""
    spoken = _MESSAGE.search(error.message)
    who = (spoken and spoken["user"]) or caller
    message = f"the role '{role}' could not be assumed: {error.message or error.code}"
    if error.code in _PLAIN_HINTS and error.code not in DENIED_CODES:
        return RoleRefused(message, role=str(role), hint=_PLAIN_HINTS[error.code], type=error.code)
    if "1 hour session limit" in error.message:
        return RoleRefused(message, role=str(role), hint="say 'duration: 1h' or less: the session is chained", type=error.code)
    if error.code not in DENIED_CODES:
        return RoleRefused(message, role=str(role), type=error.code)
    return RoleRefused(message, role=str(role), hint=_both_statements(role, who, error))


def _both_statements(role: Role, who: str, error: AwsError) -> str:
    actions = ["sts:AssumeRole", *(["sts:TagSession"] if role.tags else []), *(["sts:SetSourceIdentity"] if role.source_identity else [])]
    target, source = RoleArn.parse(role.arn), _ASSUMED.match(who or "")
    caller_statement = {"Effect": "Allow", "Action": _one(actions), "Resource": role.arn}
    trust_statement = {"Effect": "Allow", "Principal": {"AWS": _principal(source, who)}, "Action": _one(actions)}
    condition = _trust_condition(role, source)
    if condition:
        trust_statement["Condition"] = condition
    lines = [
        f"asked by {who or 'the job (its identity is not known)'}; AWS does not say which side is missing.",
        f"1. the caller's own policy needs: {_compact(caller_statement)}",
        f"2. the trust policy of {role.arn} needs: {_compact(trust_statement)}",
        _account_note(source, target),
    ]
    if role.external_id:
        lines.append("a wrong external id gives this same answer.")
    else:
        lines.append("if the trust policy asks for sts:ExternalId, set 'external_id' on the role; the answer is the same.")
    if source:
        lines.append("an assumed-role ARN leaves out the role's path: use the caller's full role ARN from IAM if it has one.")
    if error.request_id:
        lines.append(f"request id {error.request_id}")
    return "\n".join(lines)


def _principal(source: Optional[re.Match[str]], who: str) -> str:
    if source is None:
        return who or "<the ARN of the job's role>"
    return f"arn:{source['partition']}:iam::{source['account']}:role/{source['name']}"


def _trust_condition(role: Role, source: Optional[re.Match[str]]) -> dict[str, Any]:
    del source
    return {"StringEquals": {"sts:ExternalId": role.external_id}} if role.external_id else {}


def _account_note(source: Optional[re.Match[str]], target: RoleArn) -> str:
    if source is None:
        return "in the same account either can be enough; across accounts both are needed."
    if source["account"] == target.account:
        return f"both roles are in account {target.account}: either can be enough."
    return f"the accounts differ ({source['account']} and {target.account}): both are needed."


def step_failed(error: AwsError, role: Optional[Role], *, caller: str = "", bucket: str = "", key: str = "") -> StepError:
    """An error answer of a service, as the step's failure. ``bucket`` and ``key`` say what was worked on."""
    uri = f"s3://{bucket}/{key}"
    if error.code in NOT_FOUND_CODES:
        text = NOT_FOUND_CODES[error.code].format(bucket=bucket, uri=uri)
        return NotFound(text, type="NoSuchBucket" if error.code == "NoSuchBucket" else "NoSuchKey")
    if error.code in DENIED_CODES or (error.status == 403 and error.code not in _PLAIN_HINTS):  # noqa: PLR2004 - HTTP
        return _denied(error, role, caller, bucket, key)
    message = f"{error.operation}: {error.message or error.code}" + (f" ({uri})" if bucket else "")
    return ServiceFailed(message, hint=_PLAIN_HINTS.get(error.code, ""), type=error.code or "ServiceFailed")


_S3_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjects": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "ListBuckets": "s3:ListAllMyBuckets",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "DeleteObjects": "s3:DeleteObject",
}


def _denied(error: AwsError, role: Optional[Role], caller: str, bucket: str, key: str) -> AccessDenied:
    spoken = _MESSAGE.search(error.message)
    action = spoken["action"] if spoken else _S3_ACTIONS.get(error.operation, f"s3:{error.operation}" if bucket else error.operation)
    action = action.rstrip(".,")
    resource = (spoken and (spoken["resource"] or "").strip('"')) or (_s3_resource(action, bucket, key, role) if bucket else "*")
    who = (spoken and spoken["user"]) or caller
    message = f"the role '{role}' may not {action} on {resource}"
    if spoken and spoken["reason"].strip(" ."):
        message += f": {spoken['reason'].strip(' .')}"
    lines = [f"asked as {who}." if who else ""]
    lines.append(f"its policy may lack: {_compact({'Effect': 'Allow', 'Action': action, 'Resource': resource})}")
    if bucket:
        lines.append("if the bucket is in another account, its bucket policy must allow the role too; an SCP or a session policy may deny as well.")
    if error.request_id:
        lines.append(f"request id {error.request_id}")
    return AccessDenied(message, hint="\n".join(line for line in lines if line))


def _s3_resource(action: str, bucket: str, key: str, role: Optional[Role]) -> str:
    if bucket.startswith("arn:"):
        return bucket
    partition = RoleArn.parse(role.arn).partition if role is not None and role.arn else "aws"
    whole_bucket = action in {"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"} or not key
    return f"arn:{partition}:s3:::{bucket}" if whole_bucket else f"arn:{partition}:s3:::{bucket}/{key}"


def _one(names: list[str]) -> Any:
    return names[0] if len(names) == 1 else names


def _compact(statement: Mapping[str, Any]) -> str:
    return json.dumps(statement)
