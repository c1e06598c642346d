"""An AWS on this machine that enforces IAM: S3, STS and IAM, started on loopback inside the command."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolerunner.errors import SandboxError, UsageError
from rolerunner.model import RoleArn
from rolerunner.sandbox.server import Server, started
from rolerunner.sandbox.world import World, make
from rolerunner.spec.checking import validate
from rolerunner.spec.document import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["JobKeys", "Request", "Sandbox", "World", "load", "running"]


@dataclass(frozen=True)
class JobKeys:
    """The keys of the job's own session; they are worth something on this machine only, and are not shown all the same."""

    access_key: str
    secret_key: str
    token: str

    def __repr__(self) -> str:
        return "JobKeys(redacted)"


@dataclass(frozen=True)
class Request:
    """A request that the emulator has on record: it records those it granted."""

    service: str
    operation: str
    caller: str
    """The access key id that signed it."""
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Sandbox:
    """A running AWS with a world in it."""

    server: Server
    region: str
    accounts: tuple[str, ...]
    job_keys: JobKeys

    @property
    def endpoint(self) -> str:
        """Where it listens: http://127.0.0.1:PORT."""
        return self.server.endpoint

    def client(self, service: str, account: str) -> Any:
        """A client of an account's administrator, to look at the world from outside."""
        return _admin_client(self.server.endpoint, self.region, service, account)

    def requests(self, service: str = "") -> list[Request]:
        """What was asked of it, or of one service, oldest first: of each account the newest 50, its record gives no more."""
        events = [event for account in self.accounts for event in self._events(account, service)]
        return [_request(json.loads(event["CloudTrailEvent"])) for event in sorted(events, key=lambda event: event["EventTime"])]

    def _events(self, account: str, service: str) -> list[dict[str, Any]]:
        wanted = [{"AttributeKey": "EventSource", "AttributeValue": f"{service}.amazonaws.com"}] if service else []
        found: list[dict[str, Any]] = self.client("cloudtrail", account).lookup_events(LookupAttributes=wanted)["Events"]
        return found

    def assume_role_count(self) -> dict[str, int]:
        """Role ARN -> how often it was assumed by the job, the making of this world left out."""
        counts: dict[str, int] = {}
        for request in self.requests("sts"):
            if request.operation == "AssumeRole" and request.caller not in self.accounts:
                arn = str(request.parameters.get("RoleArn"))
                counts[arn] = counts.get(arn, 0) + 1
        return counts


def load(path: Path) -> World:
    """Read a sandbox file. Raises SpecError with every mistake, UsageError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the sandbox file cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return validate(World, parse(text, str(path)))


@contextlib.contextmanager
def running(world: World, folder: Path = Path()) -> Iterator[Sandbox]:
    """The embedded AWS with the world in it; ``folder`` is where files of the world are looked for. Raises SandboxError."""
    with started() as server:
        client = partial(_admin_client, server.endpoint, world.region)
        try:
            make(world, client, folder)
        except OSError as error:
            raise SandboxError(f"a file of the sandbox cannot be read: {error}") from None
        except Exception as error:
            if not hasattr(error, "response"):
                raise
            raise SandboxError(f"the sandbox could not be filled: {error}") from error
        accounts = {RoleArn.parse(role.arn).account for role in world.roles} | {bucket.account for bucket in world.buckets}
        yield Sandbox(server, world.region, tuple(sorted(accounts)), _job_keys(world, client))


def _job_keys(world: World, client: Any) -> JobKeys:
    """The session that Glue would give the job: its name is Glue's own."""
    sts = client("sts", RoleArn.parse(world.job_role).account)
    keys = sts.assume_role(RoleArn=world.job_role, RoleSessionName="GlueJobRunnerSession")["Credentials"]
    return JobKeys(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def _admin_client(endpoint: str, region: str, service: str, account: str) -> Any:
    import boto3  # noqa: PLC0415 - takes 200 ms, and only a running sandbox needs it
    from botocore.config import Config  # noqa: PLC0415

    config = Config(s3={"addressing_style": "path"}, proxies={})
    # the emulator takes twelve digits as the administrator of that account
    secret = "-"  # noqa: S105 - the emulator does not look at it
    return boto3.client(service, endpoint_url=endpoint, region_name=region, aws_access_key_id=account, aws_secret_access_key=secret, config=config)


def _request(event: dict[str, Any]) -> Request:
    """CloudTrail's record of one request; query services are on record as POST, the operation in the parameters."""
    parameters = dict(event.get("requestParameters") or {})
    operation = str(parameters.get("Action") or event["eventName"])
    return Request(str(event["eventSource"]).split(".")[0], operation, str(event["userIdentity"]["accessKeyId"]), parameters)
