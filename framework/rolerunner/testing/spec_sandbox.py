"""The sandbox of a spec, for tests in this process."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from unittest import mock

from rolerunner import api, sandbox, wiring
from rolerunner.actions import registry
from rolerunner.errors import UsageError
from rolerunner.model import JOB, S3Uri
from rolerunner.policies.least_privilege import drop_run_params
from rolerunner.sandbox.from_spec import generate_world
from rolerunner.sandbox.proxies import PROXY_VARIABLES
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.spec.values import format_suggestion
from rolerunner.testing.contexts import RUN_ID, build_context

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolerunner.actions.functions import FunctionContext
    from rolerunner.model import Job, Role, RunResult
    from rolerunner.sandbox import Sandbox, World
    from rolerunner.sessions.registry import Sessions


@dataclass(frozen=True)
class SpecSandbox:
    """A running sandbox with the roles, buckets and objects of a spec."""

    job: Job
    """The job of the spec, with the params of the test."""
    _world: World
    _running: Sandbox
    _sessions: Sessions
    _folder: Path

    @property
    def endpoint(self) -> str:
        """Returns the base URL: http://127.0.0.1:PORT."""
        return self._running.endpoint

    def run(self, *, only: Iterable[str] = ()) -> RunResult:
        """Runs the job in this process. A failed step is part of the result.

        ``only`` holds the ids of the steps to run. Raises RolesRefused.
        """
        with self.activate():
            return api.run(self.job, identity=_identify(self._running), only=only)

    def context(self, role: str = "") -> FunctionContext:
        """Returns the context of a function that runs under a role of the spec.

        ``role`` is an alias, or ``job``; without it, the context has no session. Raises UsageError.
        """
        found = self._find_role(role) if role else None
        return build_context(self._sessions, found, self._folder, self.job.params, in_sandbox=True)

    def client(self, service: str, role: str = JOB.name) -> Any:
        """Returns a boto3 client of a role of the spec, which may do what its policies allow.

        Raises UsageError, RoleRefused.
        """
        return self._sessions.client(self._find_role(role), service)

    def put_object(self, uri: str, body: bytes | str) -> None:
        """Stores an object, whatever the policies say. Raises UsageError."""
        place = _parse_object(uri)
        data = body.encode() if isinstance(body, str) else body
        self._owner_of(place).put_object(Bucket=place.bucket, Key=place.key, Body=data)

    def read_object(self, uri: str) -> bytes:
        """Returns the bytes of an object, whatever the policies say.

        Raises UsageError if there is none.
        """
        place = _parse_object(uri)
        client = self._owner_of(place)
        try:
            return bytes(client.get_object(Bucket=place.bucket, Key=place.key)["Body"].read())
        except client.exceptions.NoSuchKey:
            raise UsageError(f"the sandbox has no object {uri}") from None

    def list_objects(self, uri: str) -> list[str]:
        """Returns the URIs of the objects below a prefix, sorted. Raises UsageError."""
        place = _parse_place(uri)
        pages = self._owner_of(place).get_paginator("list_objects_v2")
        return sorted(
            f"s3://{place.bucket}/{each['Key']}"
            for page in pages.paginate(Bucket=place.bucket, Prefix=place.key)
            for each in page.get("Contents", ())
        )

    def environment(self) -> dict[str, str]:
        """Returns the variables with which another program is the job in the sandbox."""
        keys = self._running.job_keys
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_REGION": self._running.region,
            "AWS_DEFAULT_REGION": self._running.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Makes this process the job in the sandbox inside the block, for code that uses boto3."""
        others = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_") and name.lower() not in PROXY_VARIABLES
        }
        boto3: Any = sys.modules["boto3"]  # the sandbox has imported it
        with (
            mock.patch.dict(os.environ, {**others, **self.environment()}, clear=True),
            mock.patch.object(boto3, "DEFAULT_SESSION", None),
        ):
            yield

    def _find_role(self, alias: str) -> Role:
        roles = {**self.job.roles, JOB.name: JOB}
        if alias not in roles:
            raise UsageError(
                f"{self.job.file} has no role '{alias}'" + format_suggestion(alias, roles)
            )
        return roles[alias]

    def _owner_of(self, place: S3Uri) -> Any:
        owners = {bucket.name: bucket.account for bucket in self._world.buckets}
        if place.bucket not in owners:
            raise UsageError(
                f"the sandbox has no bucket '{place.bucket}'"
                + format_suggestion(place.bucket, owners)
            )
        return self._running.client("s3", owners[place.bucket])


@contextmanager
def start_spec_sandbox(
    spec: str | Path,
    params: Optional[Mapping[str, Any]] = None,
    *,
    env: str = "",
    file: Optional[str | Path] = None,
    folder: Optional[Path] = None,
) -> Iterator[SpecSandbox]:
    """Runs the sandbox of a spec inside the block, for fixtures of a wider scope.

    ``file`` describes its contents; by default that is SPEC.sandbox.yaml where it exists, and else
    they are derived from the spec. ``env`` names an environment of the spec. ``folder`` is the
    ``workdir`` of contexts, and else a temporary one. The credentials of the machine are hidden
    inside the block. Raises SpecError, UsageError, SandboxError.
    """
    job = api.load(spec, params, env=env, code_is_here=True)
    path = Path(job.file).with_name(f"{Path(job.file).stem}.sandbox.yaml")
    path = path if file is None else Path(file)
    world = _describe_world(job, params or {}, path, is_required=file is not None)
    with ExitStack() as stack:
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="rolerunner-test-")
            folder = Path(stack.enter_context(made))
        running = stack.enter_context(sandbox.start_sandbox(world, path.parent))
        sessions = wiring.build_sessions(_identify(running), f"{job.name}-{RUN_ID}"[:64])
        stack.callback(sessions.close)
        started = SpecSandbox(job, world, running, sessions, folder)
        stack.enter_context(started.activate())
        yield started


def _describe_world(job: Job, params: Mapping[str, Any], path: Path, *, is_required: bool) -> World:
    """Returns the contents of the sandbox file, or what the spec needs."""
    if is_required or path.exists():
        return sandbox.load_world(path)
    lasting = api.plan(drop_run_params(job, params))
    return generate_world(api.plan(job), lasting, registry(), {}).world


def _identify(running: Sandbox) -> JobIdentity:
    keys = running.job_keys
    return JobIdentity(
        running.region,
        keys=Keys(keys.access_key, keys.secret_key, keys.token),
        endpoints={"": running.endpoint},
    )


def _parse_place(uri: str) -> S3Uri:
    try:
        return S3Uri.parse(uri)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _parse_object(uri: str) -> S3Uri:
    place = _parse_place(uri)
    if place.is_prefix:
        raise UsageError(f"{uri} is a prefix: name an object")
    return place
