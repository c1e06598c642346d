"""The parts of a hint that refusals of roles and of services share."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.patterns import compile_on_use
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolerunner.iam.aws_errors import AwsError

_MESSAGE = compile_on_use(
    r"User:\s*(?P<user>arn:\S+)?\s*is not authorized to perform: (?P<action>[\w*:-]+)"
    r"(?: on resource: (?:\"(?P<quoted>[^\"]*)\"|(?P<bare>\S+)))?(?P<reason>.*)",
    re.DOTALL,
)
_EXPLICIT_DENY = compile_on_use(
    r"with an explicit deny in an? ([\w-]+(?: [\w-]+)*? policy|[\w -]+)"
)
_ENCODED = compile_on_use(r"[Ee]ncoded authorization failure message: (\S+)")
_AUTHORIZATION_ID = compile_on_use(r"authorization id:? ?([\w-]+)", re.IGNORECASE)
_THROTTLED = "AWS asks for fewer requests: try again later, or lower the number of workers"
CODE_HINTS = {
    "PackedPolicyTooLarge": "shorten the session policy or the tags: AWS packs both into one"
    " small space",
    "MalformedPolicyDocument": "the session policy is not a valid policy: the message names the"
    " place",
    "RegionDisabledException": "STS is not activated in this region: ask an administrator of the"
    " role's account to activate it, or choose another 'region:'",
    "InvalidClientTokenId": "the caller's keys are wrong or revoked, of another partition, or of"
    " an opt-in region that is switched off",
    "InvalidToken": "the session is revoked, of another partition, or of an opt-in region that is"
    " switched off",
    "InvalidAccessKeyId": "the keys are revoked, or of another partition",
    "SignatureDoesNotMatch": "the caller's secret key or this machine's clock is wrong",
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "SlowDown": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "NoSuchUpload": "the multipart upload was aborted, by a lifecycle rule of the bucket"
    " (AbortIncompleteMultipartUpload) or by another user",
    "InvalidObjectState": "the object is archived, in Glacier or an archive tier: restore it"
    " first, by a step with s3.restore, and wait for it by s3.wait with 'restored: true'",
    "GlacierExpeditedRetrievalNotAvailable": "S3 has no capacity for expedited retrievals now: try"
    " again later, or set 'tier: Standard'",
    "NotImplemented": "the server does not have this operation or an option of the request:"
    " leave the option out, or see docs/servers.md for a server that is not AWS's",
    "407": "a proxy responded: check its user and password in HTTPS_PROXY or HTTP_PROXY",
    "KMS.DisabledException": "the KMS key is disabled",
    "KMS.NotFoundException": "there is no such KMS key in the bucket's region",
    "KMS.KMSInvalidStateException": "the KMS key is not usable: pending deletion, import or"
    " creation",
}
"""Error code -> what to do about it."""


@dataclass(frozen=True)
class DenialMessage:
    """The fields of AWS's message "User: ... is not authorized to perform: ..."."""

    user: str
    action: str
    resource: str
    reason: str
    is_resource_quoted: bool

    @classmethod
    def parse(cls, message: str) -> Optional[DenialMessage]:
        """Parses an error's message; None where it has another form."""
        match = _MESSAGE.search(message)
        if match is None:
            return None
        resource = (match["quoted"] or match["bare"] or "").rstrip(".,")
        reason = match["reason"].strip(" .,")
        quoted = match["quoted"] is not None
        return cls(match["user"] or "", match["action"], resource, reason, quoted)


def hint_clock_skew(error: AwsError) -> str:
    """Returns the hint for a clock that is wrong, with both times."""
    now = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    aws_time = error.date or "the time in its message"
    return (
        f"the clocks differ: this machine has {now}, AWS has {aws_time}; set this machine's clock"
    )


def hint_code(error: AwsError) -> str:
    """Returns the hint of the error's code, if it has one, and the request id."""
    return join_lines([CODE_HINTS.get(error.code, ""), hint_request_id(error)])


def hint_explicit_deny(error: AwsError) -> str:
    """Returns which policy denies the call explicitly, empty where AWS names none."""
    match = _EXPLICIT_DENY.search(error.message)
    if match is None:
        return ""
    policy = match[1].removeprefix("the ")
    return f"AWS names an explicit deny in the {policy}: it overrides every Allow."


def hint_ids(error: AwsError) -> Iterator[str]:
    """Yields the ids that a support case or an administrator needs."""
    encoded = _ENCODED.search(error.message)
    authorization = _AUTHORIZATION_ID.search(error.message)
    if encoded:
        command = f"aws sts decode-authorization-message --encoded-message {encoded[1]}"
        yield f"the message is encoded; read it with: {command}"
    if authorization:
        yield f"authorization id {authorization[1]}"
    yield hint_request_id(error)


def hint_request_id(error: AwsError) -> str:
    """Returns the id of the request, empty where there is none."""
    return f"request id {error.request_id}" if error.request_id else ""


def join_lines(lines: Iterable[str]) -> str:
    """Joins the lines that are not empty."""
    return "\n".join(line for line in lines if line)


def format_statement(statement: Mapping[str, Any]) -> str:
    """Returns a policy's statement as JSON on one line, ready to paste."""
    return json.dumps(statement, ensure_ascii=False)
