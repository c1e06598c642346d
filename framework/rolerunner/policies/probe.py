"""Probes whether roles have the permissions that steps need, without changing anything."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import AccessDenied, RoleRefused, StepError
from rolerunner.iam.aws_errors import DENIED_CODES, AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.iam.session_policies import NOTIFY_USER
from rolerunner.model import JOB, S3Uri
from rolerunner.run.roles import uses_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import Permission, Plan, PlannedSecret, Role
    from rolerunner.sessions.registry import Sessions

YES, NO, UNKNOWN = "yes", "no", "unknown"
_PUT, _ABORT = "s3:PutObject", "s3:AbortMultipartUpload"
_GLUE_READS = {
    ("glue:GetDatabase", "database"): "get_database",
    ("glue:GetTable", "table"): "get_table",
    ("glue:GetJobRun", "job"): "get_job_run",
}
"""Action and kind of resource -> the request that reads one."""
_SECRET_ACTION = re.compile(r"\b(secretsmanager|ssm):Get")
_PROBE_KEY = ".rolerunner-check"
"""The key under a prefix of the multipart upload that is created and aborted."""


@dataclass(frozen=True)
class ProbeResult:
    """A permission of a step: yes, no or unknown, and the remedy for no."""

    step: str
    role: str
    action: str
    resource: str
    answer: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """Returns the result as JSON types."""
        return asdict(self)


def list_refused_roles(plan: Plan, sessions: Sessions) -> list[RoleRefused]:
    """Assumes every role; returns those that are refused."""
    refused, needs_job = [], uses_job(plan)
    for role in (JOB, *plan.roles):
        try:
            sessions.assume(role)
        except RoleRefused as refusal:
            if needs_job or not role.is_job:
                refused.append(refusal)
    return refused


def probe_permissions(plan: Plan, sessions: Sessions) -> Iterator[ProbeResult]:
    """Probes what secrets, steps and notifications need, each permission of a role once."""
    for secret in plan.secrets:
        yield from _probe_secret(secret, sessions)
    asked: dict[tuple[Role, Permission], tuple[str, str]] = {}
    abortable = _list_abortable(plan)
    probes: dict[Role, _Probe] = {}
    for step_id, role, permission in _list_of_steps(plan):
        if (role, permission) not in asked:
            probe = probes.setdefault(role, _Probe(sessions, role, abortable))
            asked[role, permission] = probe.probe(permission)
        answer = asked[role, permission]
        yield ProbeResult(step_id, str(role), permission.action, permission.resource, *answer)
    for role, permission in _list_of_notifications(plan):
        probe = probes.setdefault(role, _Probe(sessions, role, abortable))
        answer = probe.probe(permission)
        yield ProbeResult(NOTIFY_USER, str(role), permission.action, permission.resource, *answer)


def _list_of_steps(plan: Plan) -> Iterator[tuple[str, Role, Permission]]:
    """Yields each permission that a step needs under one of its roles."""
    for planned in plan.steps:
        for role_field, needed in planned.permissions.items():
            role = planned.step.roles.get(role_field)
            for permission in needed if role is not None else ():
                assert role is not None  # noqa: S101 - for mypy
                yield planned.step.id, role, permission


def _list_of_notifications(plan: Plan) -> Iterator[tuple[Role, Permission]]:
    """Yields each permission that a notification's role needs; a message is no probe."""
    found = {
        (told.notification.role, permission): None
        for told in plan.notify
        for permission in told.permissions
    }
    for role, permission in found:
        if role is not None:
            yield role, permission


def _probe_secret(secret: PlannedSecret, sessions: Sessions) -> Iterator[ProbeResult]:
    """Probes the permissions of a secret param by fetching it; the value is discarded."""
    from rolerunner.run.secret_params import fetch_text, read_value  # noqa: PLC0415 - many specs fetch none

    source = secret.source
    failure: Optional[StepError] = None
    try:
        read_value(source, fetch_text(secret, sessions))
    except StepError as error:
        failure = error
    for permission in secret.permissions:
        yield ProbeResult(
            source.user,
            str(source.role),
            permission.action,
            permission.resource,
            *_judge_fetch(permission, failure),
        )


def _judge_fetch(permission: Permission, failure: Optional[StepError]) -> tuple[str, str]:
    if failure is None:
        return YES, ""
    remedy = f"{failure.message}\n{failure.hint}".strip()
    if not isinstance(failure, AccessDenied):  # a missing secret says nothing about permissions
        return UNKNOWN, remedy
    for_key = "kms:" in failure.message
    if for_key and _SECRET_ACTION.search(failure.message):  # the response names neither of the two
        return UNKNOWN, remedy
    if for_key == permission.action.startswith("kms:"):
        return NO, remedy
    return (YES, "") if for_key else (UNKNOWN, "the secret cannot be fetched to test it")


def _list_abortable(plan: Plan) -> frozenset[tuple[Role, str]]:
    """Returns the resources on which a role needs s3:AbortMultipartUpload anyway.

    A probe may begin a multipart upload there and abort it at once.
    """
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

    def probe(self, permission: Permission) -> tuple[str, str]:
        """Returns yes, no or unknown, and the remedy."""
        place = _locate_object(permission)
        read = _locate_glue_read(permission)
        try:
            if read is not None:
                return self._probe_glue(permission, *read)
            if place is not None and permission.action == "s3:ListBucket":
                return self._probe_list(place)
            if place is not None and permission.action == "s3:ListBucketMultipartUploads":
                return self._probe_uploads(place)
            if (
                place is not None
                and permission.action == "s3:GetObject"
                and not place.key.endswith("*")
            ):
                return self._probe_get(place)
            if (
                place is not None
                and permission.action in (_PUT, _ABORT)
                and (self.role, permission.resource) in self.abortable
            ):
                return self._probe_multipart(place, permission.action)
        except StepError as error:
            return UNKNOWN, error.message
        except BotoCoreError as error:
            return UNKNOWN, str(error)
        return self._simulate_policies(permission)

    def _probe_list(self, place: S3Uri) -> tuple[str, str]:
        return self._call_s3(
            "list_objects_v2", place, Bucket=place.bucket, Prefix=place.key, MaxKeys=1
        )

    def _probe_uploads(self, place: S3Uri) -> tuple[str, str]:
        return self._call_s3("list_multipart_uploads", place, Bucket=place.bucket, MaxUploads=1)

    def _probe_get(self, place: S3Uri) -> tuple[str, str]:
        return self._call_s3(
            "get_object", place, Bucket=place.bucket, Key=place.key, Range="bytes=0-0"
        )

    def _probe_multipart(self, place: S3Uri, action: str) -> tuple[str, str]:
        """Creates and aborts a multipart upload: that needs a put's permissions, stores nothing."""
        key = f"{place.key[:-1]}{_PROBE_KEY}" if place.key.endswith("*") else place.key
        uri = S3Uri(place.bucket, key)
        if uri not in self.multiparts:
            self.multiparts[uri] = self._try_upload(uri)
        return self.multiparts[uri][action]

    def _try_upload(self, uri: S3Uri) -> dict[str, tuple[str, str]]:
        try:
            upload = self.sessions.client(self.role, "s3").create_multipart_upload(
                Bucket=uri.bucket, Key=uri.key
            )["UploadId"]
        except (BotoCoreError, ClientError, StepError) as error:
            return {
                _PUT: self._judge_error(error, uri),
                _ABORT: (UNKNOWN, "no multipart upload could be started to test it"),
            }
        return {_PUT: (YES, ""), _ABORT: self._abort_upload(uri, upload)}

    def _abort_upload(self, uri: S3Uri, upload: str) -> tuple[str, str]:
        """Aborts the probe's upload; on failure the remedy names the upload's id."""
        try:
            self.sessions.client(self.role, "s3").abort_multipart_upload(
                Bucket=uri.bucket, Key=uri.key, UploadId=upload
            )
        except (BotoCoreError, ClientError, StepError) as error:
            answer, remedy = self._judge_error(error, uri)
            left = "is left" if isinstance(error, ClientError) else "may be left"
            message = f"the probe's empty multipart upload {upload} of {uri} {left}"
            return answer, f"{message}; the bucket's owner can abort it\n{remedy}"
        return YES, ""

    def _judge_error(self, error: Exception, uri: S3Uri) -> tuple[str, str]:
        """Returns no for a denial of AWS; any other error leaves the result unknown."""
        return (
            self._judge_denial(error, uri)
            if isinstance(error, ClientError)
            else (UNKNOWN, str(error))
        )

    def _judge_denial(self, error: ClientError, uri: S3Uri) -> tuple[str, str]:
        taken = AwsError.from_client_error(error)
        failed = explain_error(taken, self.role, caller=self.caller, bucket=uri.bucket, key=uri.key)
        # a missing bucket says nothing about permissions
        return (
            NO if taken.code in DENIED_CODES else UNKNOWN
        ), f"{failed.message}\n{failed.hint}".strip()

    def _call_s3(self, method: str, place: S3Uri, **parameters: Any) -> tuple[str, str]:
        try:
            answer = getattr(self.sessions.client(self.role, "s3"), method)(**parameters)
            if "Body" in answer:
                answer["Body"].close()
        except ClientError as error:
            taken = AwsError.from_client_error(error)
            if taken.code in {"NoSuchKey", "InvalidRange"}:
                return YES, ""  # allowed, but the object does not exist or is empty
            return self._judge_denial(error, place)
        return YES, ""

    def _probe_glue(
        self, permission: Permission, method: str, parameters: dict[str, str]
    ) -> tuple[str, str]:
        """Reads a database, a table, or a run that does not exist."""
        try:
            getattr(self.sessions.client(self.role, "glue"), method)(**parameters)
        except ClientError as error:
            taken = AwsError.from_client_error(error)
            if taken.code == "EntityNotFoundException":
                return YES, ""  # allowed, but it does not exist
            failed = explain_error(taken, self.role, caller=self.caller, needed=[permission])
            answer = NO if taken.code in DENIED_CODES else UNKNOWN
            return answer, f"{failed.message}\n{failed.hint}".strip()
        return YES, ""

    def _simulate_policies(self, permission: Permission) -> tuple[str, str]:
        """Simulates the policies if the job can, without bucket policies: no is uncertain."""
        if self.role.is_job:
            return UNKNOWN, "cannot be tested without a change"
        wanted = {
            "PolicySourceArn": self.role.arn,
            "ActionNames": [permission.action],
            "ResourceArns": [permission.resource],
        }
        for source in (self.role, JOB):
            decision = self._fetch_decision(source, wanted)
            if decision is not None:
                if decision == "allowed":
                    return YES, ""
                message = f"policy simulation returned {decision}"
                return UNKNOWN, f"{message}; a bucket policy may still allow it"
        return (
            UNKNOWN,
            "cannot be tested without a change, and iam:SimulatePrincipalPolicy is not allowed",
        )

    def _fetch_decision(self, source: Role, wanted: dict[str, Any]) -> Optional[str]:
        try:
            results = self.sessions.client(source, "iam").simulate_principal_policy(**wanted)[
                "EvaluationResults"
            ]
        except (BotoCoreError, ClientError, StepError):
            return None
        return str(results[0]["EvalDecision"]) if results else None


def _locate_glue_read(permission: Permission) -> Optional[tuple[str, dict[str, str]]]:
    """Returns the request that reads what a permission of Glue names, and its parameters.

    None for all other permissions, and for a resource that is not one alone.
    """
    parts = permission.resource.split(":", 5)
    kind, *names = parts[-1].split("/")
    method = _GLUE_READS.get((permission.action, kind))
    if method is None or "*" in parts[-1]:
        return None
    if kind == "job":
        return method, {"JobName": "/".join(names), "RunId": "jr_rolerunner_check"}
    catalog = {"CatalogId": parts[4]} if parts[4].isdigit() else {}
    if kind == "table":
        return method, {**catalog, "DatabaseName": names[0], "Name": names[-1]}
    return method, {**catalog, "Name": names[0]}


def _locate_object(permission: Permission) -> Optional[S3Uri]:
    """Returns the bucket and key (or prefix) of a permission; None if only a run knows it."""
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
