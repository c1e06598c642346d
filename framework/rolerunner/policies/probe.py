"""Plan -> what each role may and may not do of what its steps need, found by calls that change nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import RoleRefused, StepError
from rolerunner.iam.aws_errors import DENIED_CODES, AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.model import JOB, S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import Permission, Plan, Role
    from rolerunner.sessions.registry import Sessions

YES, NO, UNKNOWN = "yes", "no", "unknown"
_PUT, _ABORT = "s3:PutObject", "s3:AbortMultipartUpload"
_PROBE_KEY = ".rolerunner-check"
"""Under a prefix, the key of the multipart upload that is begun and aborted."""


@dataclass(frozen=True)
class ProbeResult:
    """One permission of one step: yes, no or unknown, and what to do where it is no."""

    step: str
    role: str
    action: str
    resource: str
    answer: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """In plain JSON kinds."""
        return asdict(self)


def list_refused_roles(plan: Plan, sessions: Sessions) -> list[RoleRefused]:
    """Assume every role; those that were refused."""
    refused = []
    sessions.assume(JOB)
    for role in plan.roles:
        try:
            sessions.assume(role)
        except RoleRefused as refusal:
            refused.append(refusal)
    return refused


def probe_permissions(plan: Plan, sessions: Sessions) -> Iterator[ProbeResult]:
    """Probe what each step needs; the same permission of the same role is asked once."""
    asked: dict[tuple[Role, Permission], tuple[str, str]] = {}
    abortable = _abortable(plan)
    probes: dict[Role, _Probe] = {}
    for planned in plan.steps:
        for role_field, needed in planned.permissions.items():
            role = planned.step.roles.get(role_field)
            if role is None:
                continue
            for permission in needed:
                if (role, permission) not in asked:
                    asked[role, permission] = probes.setdefault(
                        role, _Probe(sessions, role, abortable)
                    ).answer(permission)
                yield ProbeResult(
                    planned.step.id,
                    str(role),
                    permission.action,
                    permission.resource,
                    *asked[role, permission],
                )


def _abortable(plan: Plan) -> frozenset[tuple[Role, str]]:
    """Where a role's steps need s3:AbortMultipartUpload anyway: there a multipart upload may be begun, to be aborted at once."""
    return frozenset(
        (planned.step.roles[name], permission.resource)
        for planned in plan.steps
        for name, needed in planned.permissions.items()
        for permission in needed
        if permission.action == _ABORT and name in planned.step.roles
    )


class _Probe:
    def __init__(
        self, sessions: Sessions, role: Role, abortable: frozenset[tuple[Role, str]]
    ) -> None:
        self.sessions = sessions
        self.role = role
        self.abortable = abortable
        self.multiparts: dict[S3Uri, dict[str, tuple[str, str]]] = {}
        self.caller = sessions.session_arn(role)

    def answer(self, permission: Permission) -> tuple[str, str]:
        """yes, no or unknown, and the remedy."""
        place = _place(permission)
        try:
            if place is not None and permission.action == "s3:ListBucket":
                return self._list(place)
            if (
                place is not None
                and permission.action == "s3:GetObject"
                and not place.key.endswith("*")
            ):
                return self._get(place)
            if (
                place is not None
                and permission.action in (_PUT, _ABORT)
                and (self.role, permission.resource) in self.abortable
            ):
                return self._multipart(place, permission.action)
        except StepError as error:
            return UNKNOWN, error.message
        except BotoCoreError as error:
            return UNKNOWN, str(error)
        return self._simulated(permission)

    def _list(self, place: S3Uri) -> tuple[str, str]:
        return self._asked(
            "list_objects_v2", place, Bucket=place.bucket, Prefix=place.key, MaxKeys=1
        )

    def _get(self, place: S3Uri) -> tuple[str, str]:
        return self._asked(
            "get_object", place, Bucket=place.bucket, Key=place.key, Range="bytes=0-0"
        )

    def _multipart(self, place: S3Uri, action: str) -> tuple[str, str]:
        """Begin a multipart upload and abort it, once a place: that needs the permissions of a put, and makes no object."""
        key = f"{place.key[:-1]}{_PROBE_KEY}" if place.key.endswith("*") else place.key
        uri = S3Uri(place.bucket, key)
        if uri not in self.multiparts:
            self.multiparts[uri] = self._tried(uri)
        return self.multiparts[uri][action]

    def _tried(self, uri: S3Uri) -> dict[str, tuple[str, str]]:
        try:
            upload = self.sessions.client(self.role, "s3").create_multipart_upload(
                Bucket=uri.bucket, Key=uri.key
            )["UploadId"]
        except (BotoCoreError, ClientError, StepError) as error:
            return {
                _PUT: self._failed(error, uri),
                _ABORT: (UNKNOWN, "no multipart upload could be begun to try it on"),
            }
        return {_PUT: (YES, ""), _ABORT: self._aborted(uri, upload)}

    def _aborted(self, uri: S3Uri, upload: str) -> tuple[str, str]:
        """Abort the probe's upload. Whatever goes wrong, the upload's id is told: its parts, though none here, would cost."""
        try:
            self.sessions.client(self.role, "s3").abort_multipart_upload(
                Bucket=uri.bucket, Key=uri.key, UploadId=upload
            )
        except (BotoCoreError, ClientError, StepError) as error:
            answer, remedy = self._failed(error, uri)
            left = "is left" if isinstance(error, ClientError) else "may be left"
            return (
                answer,
                f"the probe's empty multipart upload {upload} of {uri} {left}; the bucket's owner can abort it\n{remedy}",
            )
        return YES, ""

    def _failed(self, error: Exception, uri: S3Uri) -> tuple[str, str]:
        """An answer of AWS is a yes or no; anything else leaves it open."""
        return self._denied(error, uri) if isinstance(error, ClientError) else (UNKNOWN, str(error))

    def _denied(self, error: ClientError, uri: S3Uri) -> tuple[str, str]:
        taken = AwsError.from_client_error(error)
        failed = explain_error(taken, self.role, caller=self.caller, bucket=uri.bucket, key=uri.key)
        # a bucket that is missing is no answer to what is allowed
        return (
            NO if taken.code in DENIED_CODES else UNKNOWN
        ), f"{failed.message}\n{failed.hint}".strip()

    def _asked(self, method: str, place: S3Uri, **parameters: Any) -> tuple[str, str]:
        try:
            answer = getattr(self.sessions.client(self.role, "s3"), method)(**parameters)
            if "Body" in answer:
                answer["Body"].close()
        except ClientError as error:
            taken = AwsError.from_client_error(error)
            if taken.code in {"NoSuchKey", "InvalidRange"}:
                return YES, ""  # the permission is there; the object is not, or has no bytes
            return self._denied(error, place)
        return YES, ""

    def _simulated(self, permission: Permission) -> tuple[str, str]:
        """Policy simulation, where the job may ask for it. Bucket policies take no part in it, so a refusal there is not sure."""
        if self.role.is_job:
            return UNKNOWN, "cannot be tried without a change"
        wanted = {
            "PolicySourceArn": self.role.arn,
            "ActionNames": [permission.action],
            "ResourceArns": [permission.resource],
        }
        for source in (self.role, JOB):
            decision = self._decision(source, wanted)
            if decision is not None:
                return (
                    (YES, "")
                    if decision == "allowed"
                    else (
                        UNKNOWN,
                        f"policy simulation says {decision}; a bucket policy may still allow it",
                    )
                )
        return (
            UNKNOWN,
            "cannot be tried without a change, and iam:SimulatePrincipalPolicy is not allowed",
        )

    def _decision(self, source: Role, wanted: dict[str, Any]) -> Optional[str]:
        try:
            results = self.sessions.client(source, "iam").simulate_principal_policy(**wanted)[
                "EvaluationResults"
            ]
        except (BotoCoreError, ClientError, StepError):
            return None
        return str(results[0]["EvalDecision"]) if results else None


def _place(permission: Permission) -> Optional[S3Uri]:
    """The bucket and key (or prefix) that a permission is about; None where it is known at run time only."""
    _, separator, rest = permission.resource.partition(":s3:::")
    bucket, _, key = rest.partition("/")
    if not separator or "*" in bucket or "*" in key[:-1]:
        return None
    prefixes = [
        values[0] for _, name, values in permission.condition if name == "s3:prefix" and values
    ]
    if any("*" in prefix for prefix in prefixes):
        return None
    return S3Uri(bucket, prefixes[0] if prefixes else key)
