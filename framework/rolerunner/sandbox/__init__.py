"""A local AWS that enforces IAM: S3, STS and IAM on loopback."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolerunner.errors import SandboxError, SpecError, UsageError
from rolerunner.model import RoleArn, S3Uri
from rolerunner.sandbox.messages import RecordedMessage, read_messages
from rolerunner.sandbox.requests import RecordedRequest, parse_records
from rolerunner.sandbox.server import Server, find_interpreter, start_server
from rolerunner.sandbox.world import SandboxObject, World, create_world
from rolerunner.spec.validation import validate_document
from rolerunner.spec.values import format_suggestion
from rolerunner.spec.yaml_parser import parse_versioned_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "JobKeys",
    "RecordedRequest",
    "Sandbox",
    "World",
    "check_available",
    "load",
    "running",
    "with_objects",
]

JOB_SESSION = "GlueJobRunnerSession"
"""The session name with which Glue assumes a job's role."""


_SESSION_SECONDS = 43_200
"""Duration of the sessions that a sandbox gives out: the longest that AWS knows."""


@dataclass(frozen=True)
class JobKeys:
    """The keys of a session, such as the job's, with a redacted repr."""

    access_key: str
    secret_key: str
    token: str

    def __repr__(self) -> str:
        return "JobKeys(redacted)"


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox."""

    server: Server
    region: str
    accounts: tuple[str, ...]
    job_keys: JobKeys
    job_role: str
    client: Callable[..., Any]
    """Maps service, account and region to a cached client of the account's administrator."""

    @property
    def endpoint(self) -> str:
        """Returns the base URL: http://127.0.0.1:PORT."""
        return self.server.endpoint

    def admin(self, account: str) -> Any:
        """Returns a boto3 session of an account's administrator; it does not set the endpoint."""
        return _admin_session(self.region, account)

    def get_admin_keys(self) -> JobKeys:
        """Returns the keys of a session of the administrator of the job's account."""
        sts = self.client("sts", RoleArn.parse(self.job_role).account)
        return _read_keys(sts.get_session_token(DurationSeconds=_SESSION_SECONDS))

    def requests(self, service: str = "") -> list[RecordedRequest]:
        """Returns all requests, or those of one service, in the order of their responses."""
        return [
            request
            for request in parse_records(self.server.record())
            if service in ("", request.service)
        ]

    def messages(self) -> list[RecordedMessage]:
        """Returns all messages that topics, queues and event buses took, oldest first."""
        return read_messages(self.server.record())

    def assume_role_count(self) -> dict[str, int]:
        """Returns role ARN -> number of successful AssumeRole calls, without those of the setup."""
        asked = (
            request
            for request in self.requests("sts")
            if request.operation == "AssumeRole" and not request.is_admin
        )
        return dict(
            Counter(request.parameters["RoleArn"] for request in asked if not request.error)
        )


def load_world(path: Path) -> World:
    """Reads a sandbox file. Raises SpecError with every mistake, UsageError if unreadable."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: the sandbox file cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    document = parse_versioned_document(text, str(path), "a sandbox file")
    world = validate_document(World, document)
    files = ((place, path.parent / file) for place, file in world.files())
    missing = [
        document.problem(place, f"there is no file '{file}'")
        for place, file in files
        if not file.is_file()
    ]
    if missing:
        raise SpecError(missing)
    return world


def check_available() -> None:
    """Raises SandboxError with what to install if the sandbox cannot be started."""
    find_interpreter()


def add_objects(world: World, puts: Mapping[S3Uri, Path]) -> World:
    """Returns the world with additional objects from files. Raises UsageError."""
    for uri in puts:
        if uri.bucket not in [bucket.name for bucket in world.buckets]:
            raise UsageError(
                f"--put: the sandbox file has no bucket '{uri.bucket}'"
                + format_suggestion(uri.bucket, [each.name for each in world.buckets])
            )
    buckets = [
        bucket.model_copy(update={"objects": [*bucket.objects, *_of_bucket(bucket.name, puts)]})
        for bucket in world.buckets
    ]
    return world.model_copy(update={"buckets": buckets})


def _of_bucket(bucket: str, puts: Mapping[S3Uri, Path]) -> list[SandboxObject]:
    return [
        SandboxObject(key=uri.key, file=str(path.absolute()))
        for uri, path in puts.items()
        if uri.bucket == bucket
    ]


@contextlib.contextmanager
def start_sandbox(
    world: World, folder: Path = Path(), port: int = 0, job_runner: Sequence[str] = ()
) -> Iterator[Sandbox]:
    """Runs a sandbox with this world; its files are relative to ``folder``. Raises SandboxError.

    It listens on ``port``, or on any free one. ``job_runner`` is a command that runs a job of
    Glue; without it, jobs do not run.
    """
    with (
        start_server(port, job_runner) as server,
        contextlib.closing(AdminClients(server.endpoint, world.region)) as clients,
    ):
        client = clients.client
        with report_failures():
            create_world(world, client, folder)
            keys = _assume_role(world.job_role, JOB_SESSION, client)
        yield Sandbox(
            server, world.region, tuple(sorted(world.accounts)), keys, world.job_role, client
        )


@contextlib.contextmanager
def report_failures(failure: str = "the sandbox could not be filled") -> Iterator[None]:
    """Turns errors of files and of the emulator into SandboxError."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except OSError as error:
        raise SandboxError(f"a file of the sandbox cannot be read: {error}") from None
    except (BotoCoreError, ClientError) as error:
        raise SandboxError(f"{failure}: {error}") from error


def assume_role(
    endpoint: str, region: str, arn: str, name: str = "rolerunner", trusted: str = ""
) -> JobKeys:
    """Assumes a role of a running sandbox as the administrator of its account.

    ``trusted`` is a service that must be in the role's trust policy, such as glue.amazonaws.com.
    Raises SandboxError.
    """
    with (
        contextlib.closing(AdminClients(endpoint, region)) as clients,
        report_failures(f"{arn} cannot be assumed"),
    ):
        if trusted and not _is_trusted(arn, trusted, clients.client):
            raise SandboxError(f"the trust policy of {arn} does not allow {trusted} to assume it")
        return _assume_role(arn, name, clients.client)


def _is_trusted(arn: str, service: str, client: Any) -> bool:
    role = RoleArn.parse(arn)
    found = client("iam", role.account).get_role(RoleName=role.name)["Role"]
    for statement in found["AssumeRolePolicyDocument"]["Statement"]:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement["Effect"] == "Allow" and service in (
            [services] if isinstance(services, str) else services
        ):
            return True
    return False


def _assume_role(arn: str, name: str, client: Any) -> JobKeys:
    sts = client("sts", RoleArn.parse(arn).account)
    # a session does not expire within a run, since Glue renews its own
    return _read_keys(
        sts.assume_role(RoleArn=arn, RoleSessionName=name, DurationSeconds=_SESSION_SECONDS)
    )


def _read_keys(answer: Mapping[str, Any]) -> JobKeys:
    keys = answer["Credentials"]
    return JobKeys(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


class AdminClients:
    """Clients of account administrators, cached, since creating one takes 100 ms."""

    def __init__(self, endpoint: str, region: str) -> None:
        self._endpoint = endpoint
        self._region = region
        self._made: dict[tuple[str, str, str], Any] = {}
        self._making = threading.Lock()

    def client(self, service: str, account: str, region: str = "") -> Any:
        """Returns the client of an account's administrator; by default in the sandbox's region."""
        from botocore.config import Config  # noqa: PLC0415 - takes 200 ms, and only a running sandbox needs it

        place = service, account, region or self._region
        with self._making:
            if place not in self._made:
                config = Config(s3={"addressing_style": "path"}, proxies={})
                self._made[place] = _admin_session(place[2], account).client(
                    service, endpoint_url=self._endpoint, config=config
                )
            return self._made[place]

    def close(self) -> None:
        """Closes the connections of all clients."""
        for client in self._made.values():
            if hasattr(client, "close"):  # older boto3 leaves it to the collector
                client.close()


def _admin_session(region: str, account: str) -> Any:
    import boto3  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    from rolerunner.sessions.botocore_setup import NO_PROFILE  # noqa: PLC0415
    from rolerunner.sessions.service_models import deduplicate_search_paths, shared_loader  # noqa: PLC0415

    session = botocore.session.Session(NO_PROFILE)
    session.register_component("data_loader", shared_loader())
    # the emulator takes twelve digits as an account's administrator and ignores the secret
    boto3_session = boto3.Session(
        aws_access_key_id=account,
        aws_secret_access_key="-",  # noqa: S106
        region_name=region,
        botocore_session=session,
    )
    deduplicate_search_paths(shared_loader())
    return boto3_session
