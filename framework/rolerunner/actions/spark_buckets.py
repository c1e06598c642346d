"""Opens buckets for Spark, each under the role that a step gives for it, and explains refusals."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.actions import s3a
from rolerunner.errors import RoleRefused, StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Role, S3Uri
from rolerunner.spark.credentials_server import LentSession, lend_session
from rolerunner.spark.hadoop import Hadoop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolerunner.actions.base import StepContext
    from rolerunner.sessions.registry import Sessions
    from rolerunner.spark.sql import QueryFailed


@dataclass(frozen=True)
class OpenBucket:
    """A bucket as Spark accesses it under one role. ``lent`` is None if S3A assumes the role."""

    role: Role
    connection: s3a.Connection
    settings: Mapping[str, str]
    lent: Optional[LentSession] = None


@dataclass(frozen=True)
class OpenBuckets:
    """The buckets of a step, by role and name."""

    buckets: Mapping[tuple[Role, str], OpenBucket]
    committers: Mapping[str, Mapping[str, str]]
    """Scheme -> the options of a write with S3A's committer."""

    def find(self, role: Role, place: Union[S3Uri, str]) -> Optional[OpenBucket]:
        """Returns the bucket of a location; None for a path on this machine."""
        return self.buckets[role, place.bucket] if isinstance(place, S3Uri) else None

    def locate(self, role: Role, place: Union[S3Uri, str]) -> tuple[str, Mapping[str, str]]:
        """Returns the URL of a location for Spark, and the options of its reader or writer."""
        found = self.find(role, place)
        if found is None or not isinstance(place, S3Uri):
            return str(place), {}
        return found.connection.url(place), found.settings

    def find_committer(self, role: Role, place: Union[S3Uri, str]) -> Mapping[str, str]:
        """Returns the options of a write with S3A's committer; empty if there is none."""
        found = self.find(role, place)
        return self.committers[found.connection.scheme] if found is not None else {}

    def explain(self, failed: QueryFailed) -> StepError:
        """Returns a Java error about S3 as AWS's own error, for the role that was refused."""
        refusals = (each.lent.refusal for each in self.buckets.values() if each.lent is not None)
        refusal = next((each for each in refusals if each is not None), None)
        if refusal is not None:
            return refusal
        found = self._find_failed(failed.text)
        if found is None:
            return failed
        if "sts:AssumeRole" in failed.text:
            return RoleRefused(
                f"the role '{found.role}' could not be assumed by Spark: {failed.message}",
                role=str(found.role),
                hint="run 'rolerunner check' to see why",
                type="RoleRefused",
            )
        if s3a.is_denied(failed.text):
            return _explain_denial(failed.text, found)
        return failed

    def _find_failed(self, text: str) -> Optional[OpenBucket]:
        """Returns the bucket that an error is about: of the refused role, else of its location.

        A failed task's error also names the location that the task read.
        """
        everything = list(self.buckets.values())
        refused = s3a.refused_role_in(text)
        same_role = [each for each in everything if each.role.arn == refused]
        scheme = s3a.scheme_in(text)
        same_scheme = [each for each in everything if each.connection.scheme == scheme]
        candidates = same_role or same_scheme or everything
        bucket = s3a.place_in(text).bucket
        named = [each for each in candidates if each.connection.bucket == bucket]
        return next(iter(named or candidates), None)


@contextmanager
def open_buckets(
    session: Any, context: StepContext, wanted: Sequence[tuple[Role, str]]
) -> Iterator[OpenBuckets]:
    """Makes buckets accessible inside the block, each under its role. Raises StepError."""
    hadoop = Hadoop(session)
    with ExitStack() as stack:
        buckets = {
            (role, bucket): _open_bucket(stack, hadoop, context, role, bucket)
            for role, bucket in wanted
        }
        schemes = [each.connection.scheme for each in buckets.values()]
        yield OpenBuckets(buckets, {each: hadoop.find_committer(each) for each in schemes})


def _open_bucket(
    stack: ExitStack, hadoop: Hadoop, context: StepContext, role: Role, bucket: str
) -> OpenBucket:
    sessions = context.sessions
    sessions.assume(role)
    connection = s3a.Connection(
        bucket,
        _create_scheme(hadoop, context.run_id, role),
        sessions.find_bucket_region(role, bucket),
        sessions.find_endpoint("s3"),
        hadoop.sdk,
    )
    if hadoop.is_local and _has_session(sessions, role):
        stack.callback(hadoop.close_connection, connection.scheme, bucket)
        lent = stack.enter_context(lend_session(sessions, role))
        region = sessions.require_region()
        hadoop.set_sts_endpoint(lent.url, region)
        lent_settings = s3a.build_lent_credentials(role, lent.token, lent.url, region, hadoop.sdk)
        return OpenBucket(role, connection, connection.build_settings(lent_settings), lent)
    _check_cluster(hadoop, context, role)
    settings = s3a.build_role_credentials(
        role,
        f"rolerunner-{context.run_id}",
        sessions.require_region(),
        sessions.find_endpoint("sts"),
        hadoop.sdk,
    )
    return OpenBucket(role, connection, connection.build_settings(settings))


def _create_scheme(hadoop: Hadoop, run_id: str, role: Role) -> str:
    """Returns a scheme for the role.

    Executors keep their connections, so the steps of a run share them. On this machine each step
    closes its own.
    """
    if hadoop.is_local:
        return f"s3a-{secrets.token_hex(4)}"
    return f"s3a-{hash((run_id, role)) & 0xFFFFFFFF:08x}"


def _has_session(sessions: Sessions, role: Role) -> bool:
    """Returns False for a job with a user's permanent keys, which have no session token."""
    return bool(sessions.get_credentials(role).get_frozen_credentials().token)


def _check_cluster(hadoop: Hadoop, context: StepContext, role: Role) -> None:
    """Raises StepError if the executors cannot have the role's session."""
    if context.in_sandbox:
        raise StepError(
            "in the sandbox, Spark works on this machine only: its executors have no credentials",
            hint="leave 'spark.master' unset, or set it to local[*]",
            type="NotInSandbox",
        )
    unsupported = " and ".join(s3a.list_unsupported(role, has_external_ids=hadoop.has_external_ids))
    if unsupported:
        raise StepError(
            f"the role '{role}' has {unsupported}, which S3A does not support",
            hint="on a cluster S3A assumes the role by itself: use a role without them for this "
            "step, or copy the objects with s3.copy first",
            type="S3aCannot",
        )


def _explain_denial(text: str, found: OpenBucket) -> StepError:
    place, bucket = s3a.place_in(text), found.connection.bucket
    error = AwsError("AccessDenied", s3a.refusal_in(text), s3a.operation_in(text))
    key = place.key if place.bucket in {bucket, ""} else ""
    return explain_error(error, found.role, bucket=bucket, key=key)
