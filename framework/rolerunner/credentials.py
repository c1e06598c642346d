"""Role -> session and clients. The only module that assumes roles, and the only one that touches botocore's sessions.

botocore's own assume-role providers share no session between steps, call STS once a request when a session lasts 900
seconds, hammer STS on a refusal, and leave the source out of the cache key. Here the frozen ``Role`` is the key, one
thread at a time asks STS, refresh windows are scaled to the session's life, and a refusal is held for some seconds.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import warnings
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn, Optional

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver, Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, NoRegionError

from rolerunner import diagnosis
from rolerunner.errors import RoleRefused, StepError, UsageError
from rolerunner.model import JOB, Role, RoleArn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Glue Python Shell is Python 3.9 for good: a warning in every run that nobody there can heed is noise.
warnings.filterwarnings("ignore", message="Boto3 will no longer support Python")
_LOG = logging.getLogger("rolerunner.credentials")
# At DEBUG these three print keys, tokens and signed headers (seen on every botocore since 1.24).
_LOUD_LOGGERS = ("botocore.parsers", "botocore.endpoint", "botocore.auth")

EARLY_SHARE, EARLY_MOST = 0.30, 900.0
"""A session is renewed early in the last 30 % of its life, 15 minutes at most: others go on with the old one meanwhile."""
LATE_SHARE, LATE_MOST = 0.10, 300.0
"""In the last 10 %, 5 minutes at most, everybody waits for the new session."""
HOLD_REFUSAL = 5.0
"""Seconds that a refusal stands before STS is asked again."""
HOLD_EARLY_FAILURE = 30.0
"""Seconds between tries of an early renewal that fails while the old session is still good."""
MAX_SESSION_NAME = 64
"""RoleSessionName has 2 to 64 characters of [\\w+=,.@-] (STS API reference)."""


@dataclass(frozen=True)
class JobIdentity:
    """Who the job is before any role is assumed: by default whatever boto3 finds (Glue's role, a profile).

    ``keys`` are used instead where they are given (the sandbox). ``endpoints`` are by service, "" is for all.
    """

    region: str = ""
    profile: str = ""
    keys: Optional[Keys] = None
    endpoints: Mapping[str, str] = field(default_factory=dict)


class Keys:
    """Access key, secret key and token: a value that shows and pickles nothing."""

    __slots__ = ("_access_key", "_secret_key", "_token")

    def __init__(self, access_key: str, secret_key: str, token: Optional[str] = None) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._token = token

    def credentials(self) -> Credentials:
        """As botocore takes them."""
        return Credentials(self._access_key, self._secret_key, self._token)

    def __repr__(self) -> str:
        return "Keys(redacted)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled: ship the Role, and assume it where it is needed")


def endpoint_for(service: str, endpoints: Mapping[str, str]) -> Optional[str]:
    """The endpoint of a service: given, or from AWS_ENDPOINT_URL_<SERVICE> or AWS_ENDPOINT_URL.

    boto3 reads those two itself since 1.28; Glue ships older ones, so they are read here for all.
    """
    given = endpoints.get(service) or endpoints.get("")
    if given or os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return given or None
    name = service.upper().replace("-", "_")
    return os.environ.get(f"AWS_ENDPOINT_URL_{name}") or os.environ.get("AWS_ENDPOINT_URL") or None


class Sessions:
    """One session for each distinct role, one client for each role, service and region, shared by all threads."""

    def __init__(self, identity: JobIdentity, *, session_name: str = "rolerunner", clock: Callable[[], float] = time.time) -> None:
        self._identity = identity
        self._session_name = session_name
        self._clock = clock
        self._lock = threading.RLock()
        self._loader = botocore.loaders.create_loader()
        self._sessions: dict[Role, boto3.Session] = {}
        self._sources: dict[Role, _RoleCredentials] = {}
        self._clients: dict[tuple[Role, str, str], Any] = {}
        self._caller: Optional[str] = None
        self._region = ""
        for name in _LOUD_LOGGERS:
            logger = logging.getLogger(name)
            if logger.getEffectiveLevel() < logging.INFO or logger.level == logging.NOTSET:
                logger.setLevel(logging.INFO)

    def session(self, role: Role) -> boto3.Session:
        """The role's boto3 session; its credentials are asked for when it is first used.

        Raises UsageError where the job has no credentials of its own.
        """
        role = self._effective(role)
        with self._lock:
            if role not in self._sessions:
                self._sessions[role] = self._new_session(role)
            return self._sessions[role]

    def client(self, role: Role, service: str, *, region: str = "", config: Optional[Config] = None) -> Any:
        """A client of the role for a service, made once. ``config`` counts when the client is made.

        Raises StepError where no region is known.
        """
        region = region or role.region or self.region()
        key = (self._effective(role), service, region)
        found = self._clients.get(key)  # the usual case takes no lock
        if found is not None:
            return found
        session = self.session(role)
        with self._lock:  # creating clients is not thread-safe, using them is
            if key not in self._clients:
                self._clients[key] = self._new_client(session, service, region, config)
            return self._clients[key]

    def assume(self, role: Role) -> None:
        """Assume the role now, if that is not done yet. Raises RoleRefused."""
        role = self._effective(role)
        if role.is_job:
            self.caller()
        else:
            self._credentials(role).get_frozen_credentials()

    def session_arn(self, role: Role) -> str:
        """The session's ARN as CloudTrail shows it; empty while the role is not assumed."""
        role = self._effective(role)
        if role.is_job:
            return self._caller or ""
        source = self._sources.get(role)
        return source.session_arn if source else ""

    def assume_calls(self, role: Role) -> int:
        """How many AssumeRole requests the role has cost so far."""
        source = self._sources.get(self._effective(role))
        return source.calls if source else 0

    def caller(self) -> str:
        """The ARN of the job's own identity; empty where STS cannot tell. GetCallerIdentity needs no permission."""
        with self._lock:
            if self._caller is None:
                self._caller = self._ask_caller()
            return self._caller

    def region(self) -> str:
        """The job's region. Raises UsageError where none is known."""
        if not self._region:
            found = self._identity.region or os.environ.get("AWS_REGION") or self._base_session().get_config_variable("region")
            if not found:
                raise UsageError("no region is known: set AWS_REGION, or 'region' on the role")
            self._region = str(found)
        return self._region

    # sessions

    def _effective(self, role: Role) -> Role:
        """A plain role that is the job's own is the job: assuming oneself would cost a call and a permission."""
        if role.is_job or not role.is_plain or not self._caller:
            return role
        arn, caller = RoleArn.parse(role.arn), _assumed_role(self._caller)
        # names are unique in an account whatever their path, which an assumed-role ARN leaves out
        return JOB if caller == (arn.account, arn.name) else role

    def _new_session(self, role: Role) -> boto3.Session:
        if role.is_job:
            return self._boto3_session(self._base_session())
        session = botocore.session.Session()
        session.register_component("data_loader", self._loader)
        _use_credentials(session, self._credentials(role))
        return self._boto3_session(session)

    def _base_session(self) -> botocore.session.Session:
        session = botocore.session.Session(profile=self._identity.profile or None)
        session.register_component("data_loader", self._loader)
        if self._identity.keys is not None:
            _use_credentials(session, self._identity.keys.credentials())
        return session

    def _boto3_session(self, session: botocore.session.Session) -> boto3.Session:
        session.set_config_variable("sts_regional_endpoints", "regional")
        made = boto3.Session(botocore_session=session, region_name=self._identity.region or None)
        # every boto3.Session adds its folder to the loader's search paths again
        self._loader.search_paths[:] = list(dict.fromkeys(self._loader.search_paths))
        return made

    def _credentials(self, role: Role) -> _RoleCredentials:
        with self._lock:
            if role not in self._sources:
                self._sources[role] = _RoleCredentials(role, self._ask_sts(role), self._clock)
            return self._sources[role]

    def _new_client(self, session: boto3.Session, service: str, region: str, config: Optional[Config]) -> Any:
        endpoint = endpoint_for(service, self._identity.endpoints)
        settings = config or client_config(endpoint if service == "s3" else None)
        try:
            return session.client(service, region_name=region, endpoint_url=endpoint, config=settings)
        except (BotoCoreError, ValueError) as error:
            raise StepError(f"no client for '{service}' in {region}: {error}", type="ClientFailed") from error

    # STS

    def _ask_sts(self, role: Role) -> Callable[[], Mapping[str, Any]]:
        def ask() -> Mapping[str, Any]:
            source = role.via or JOB
            region = role.region or self.region()
            client = self._sts_client(source, region)
            try:
                answer: Mapping[str, Any] = client.assume_role(**assume_role_request(role, self._session_name))
            except ClientError as error:
                raise self._refusal(role, source, error) from None
            except NoCredentialsError:
                raise RoleRefused(
                    f"the role '{role}' could not be assumed: the job has no AWS credentials of its own", role=str(role), hint=_NO_CREDENTIALS
                ) from None
            except BotoCoreError as error:
                raise _unreachable(role, region, error) from None
            return answer

        return ask

    def _sts_client(self, source: Role, region: str) -> Any:
        # A VPC job without a route to STS would hang for minutes on botocore's defaults.
        config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
        return self.client(source, "sts", region=region, config=config)

    def _refusal(self, role: Role, source: Role, error: ClientError) -> RoleRefused:
        taken = diagnosis.AwsError.of(error)
        caller = self.caller() if source.is_job else self.session_arn(source)
        return diagnosis.role_refused(role, taken, caller)

    def _ask_caller(self) -> str:
        try:
            return str(self._sts_client(JOB, self.region()).get_caller_identity()["Arn"])
        except (BotoCoreError, ClientError, StepError):
            return ""


class _RoleCredentials(Credentials):  # type: ignore[misc]  # botocore has no annotations
    """A role's credentials, renewed when they are asked for. botocore asks at every signature."""

    def __init__(self, role: Role, ask: Callable[[], Mapping[str, Any]], clock: Callable[[], float]) -> None:
        # not super().__init__: it would store keys as plain attributes
        self.method = "rolerunner"
        self.account_id: Optional[str] = RoleArn.parse(role.arn).account
        self.session_arn = ""
        self.calls = 0
        self._role = role
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._current: Optional[_Lease] = None
        self._refusal: Optional[RoleRefused] = None
        self._hold_until = 0.0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The keys to sign with now. Raises RoleRefused."""
        lease = self._current
        if lease is not None and self._clock() < lease.renew_at:
            return lease.frozen
        if lease is not None and self._clock() < lease.late_at:
            if self._lock.acquire(blocking=False):  # one renews, the others go on
                try:
                    self._renew_if_due()
                finally:
                    self._lock.release()
        else:
            with self._lock:
                self._renew_if_due()
        return self._usable().frozen

    def _usable(self) -> _Lease:
        lease = self._current
        if lease is not None and self._clock() < lease.expires_at:
            return lease
        if self._refusal is not None:
            raise _again(self._refusal)
        raise RoleRefused(f"the session of the role '{self._role}' has expired", role=str(self._role))

    def _renew_if_due(self) -> None:
        now, lease = self._clock(), self._current
        if (lease is not None and now < lease.renew_at) or now < self._hold_until:
            return
        still_good = lease is not None and now < lease.expires_at
        try:
            self.calls += 1
            answer = self._ask()
            self._current = self._lease(answer)
            self._refusal = None
        except RoleRefused as refusal:
            self._refusal = refusal
            self._hold_until = now + (HOLD_EARLY_FAILURE if still_good else HOLD_REFUSAL)
            if still_good:
                _LOG.warning("the session of the role '%s' could not be renewed yet: %s", self._role, refusal.message)

    def _lease(self, answer: Mapping[str, Any]) -> _Lease:
        arn = str(answer["AssumedRoleUser"]["Arn"])
        account = arn.split(":")[4]
        pinned = self._role.account or RoleArn.parse(self._role.arn).account
        if account != pinned:
            raise RoleRefused(f"the role '{self._role}' is in account {account}, not in {pinned}", role=str(self._role), type="WrongAccount")
        self.session_arn = arn
        keys = answer["Credentials"]
        frozen = ReadOnlyCredentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        return _Lease.starting(self._clock(), _timestamp(keys["Expiration"]), frozen)

    @property
    def access_key(self) -> str:
        return str(self.get_frozen_credentials().access_key)

    @property
    def secret_key(self) -> str:
        return str(self.get_frozen_credentials().secret_key)

    @property
    def token(self) -> str:
        return str(self.get_frozen_credentials().token)

    def __repr__(self) -> str:
        return f"<credentials of {self._role}, redacted>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled: ship the Role, and assume it where it is needed")


@dataclass(frozen=True)
class _Lease:
    """Keys and the times, in seconds since the epoch, between which they are used in each way."""

    frozen: ReadOnlyCredentials = field(repr=False)
    renew_at: float
    late_at: float
    expires_at: float

    @classmethod
    def starting(cls, now: float, expires_at: float, frozen: ReadOnlyCredentials) -> _Lease:
        life = max(expires_at - now, 0.0)
        early, late = min(EARLY_MOST, EARLY_SHARE * life), min(LATE_MOST, LATE_SHARE * life)
        return cls(frozen, expires_at - early, expires_at - late, expires_at)


def client_config(endpoint: Optional[str] = None, *, connections: int = 64) -> Config:
    """How clients behave: standard retries, as many connections as workers, path-style on endpoints that are not AWS's."""
    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "max_attempts": 5},
        "max_pool_connections": connections,
        "connect_timeout": 10,
        "read_timeout": 60,
        "user_agent_extra": "rolerunner",
    }
    if endpoint and not re.search(r"\.amazonaws\.com(\.cn)?(:\d+)?(/|\Z)", endpoint):
        settings["s3"] = {"addressing_style": "path"}
    return Config(**settings)


def assume_role_request(role: Role, session_name: str) -> dict[str, Any]:
    """The parameters of AssumeRole for a role: only those it has."""
    request: dict[str, Any] = {
        "RoleArn": role.arn,
        "RoleSessionName": session_name_of(role.session_name or session_name),
        "DurationSeconds": role.duration,
    }
    optional = {
        "ExternalId": role.external_id,
        "Policy": role.policy,
        "PolicyArns": [{"arn": arn} for arn in role.policy_arns],
        "Tags": [{"Key": key, "Value": value} for key, value in role.tags],
        "TransitiveTagKeys": list(role.transitive_tag_keys),
        "SourceIdentity": role.source_identity,
    }
    request.update({name: value for name, value in optional.items() if value})
    return request


def session_name_of(text: str) -> str:
    """``text`` as a RoleSessionName: other characters replaced, shortened to 64."""
    name = re.sub(r"[^\w+=,.@-]", "-", text, flags=re.ASCII)[:MAX_SESSION_NAME]
    return name if len(name) > 1 else f"rolerunner-{name}"


class _Memoised(CredentialProvider):  # type: ignore[misc]  # botocore has no annotations
    METHOD = "rolerunner"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Credentials:
        return self._credentials


def _use_credentials(session: botocore.session.Session, credentials: Credentials) -> None:
    """Give a session these credentials and no others: nothing of the environment is looked at."""
    session.register_component("credential_provider", CredentialResolver([_Memoised(credentials)]))


def _again(refusal: RoleRefused) -> RoleRefused:
    """A refusal to raise once more: one exception object raised by many threads would share its traceback."""
    return RoleRefused(refusal.message, role=refusal.role, hint=refusal.hint, type=refusal.type)


def _timestamp(value: Any) -> float:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _assumed_role(arn: str) -> Optional[tuple[str, str]]:
    found = re.match(r"arn:[^:]+:sts::(\d{12}):assumed-role/([^/]+)/", arn)
    return (found.group(1), found.group(2)) if found else None


_NO_CREDENTIALS = "in Glue the job's role gives them; on a laptop run 'aws sso login' or set AWS_PROFILE, or try --sandbox"


def _unreachable(role: Role, region: str, error: BotoCoreError) -> RoleRefused:
    message = f"the role '{role}' could not be assumed: {error}"
    hint = ""
    if isinstance(error, (ConnectTimeoutError, EndpointConnectionError)):
        hint = f"there is no route to STS in {region}: a job in a VPC needs an STS interface endpoint there, or a NAT gateway"
    elif isinstance(error, NoRegionError):
        hint = "set AWS_REGION, or 'region' on the role"
    return RoleRefused(message, role=str(role), hint=hint, type="StsUnreachable")
