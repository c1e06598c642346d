"""Role -> session and clients. The only module that assumes roles, and the only one that touches botocore's sessions.

botocore's own assume-role providers share no session between steps, call STS once a request when a session lasts 900
seconds, hammer STS on a refusal, and leave the source out of the cache key. Here the frozen ``Role`` is the key, one
thread at a time asks STS, refresh windows are scaled to the session's life, and a refusal is held for some seconds.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import logging
import os
import random
import re
import threading
import time
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn, Optional

import botocore.session
import botocore.utils
from botocore.config import Config
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    Credentials,
    ReadOnlyCredentials,
)
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.hooks import HierarchicalEmitter

from rolerunner.common.json_values import safe_text
from rolerunner.errors import RoleRefused, StepError, UsageError
from rolerunner.iam import denials
from rolerunner.model import JOB, Role, RoleArn
from rolerunner.redaction.secrets import register_credential
from rolerunner.sessions.bounded_responses import bound_responses
from rolerunner.sessions.service_models import deduplicate_search_paths, shared_loader

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3

# Glue Python Shell is Python 3.9 for good: a warning in every run that nobody there can heed is noise.
warnings.filterwarnings("ignore", message="Boto3 will no longer support Python")
_LOG = logging.getLogger("rolerunner.sessions.registry")
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
_EARLIER = 24
"""Most keys of the job itself that stay known as secrets after they were renewed; when they expire is not known."""
FRESH = 60.0
"""A session younger than so many seconds is not given up when a service calls it expired: a newer one would be no better."""
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


_TRIES = 5
"""Of each request."""
_MAX_BACKOFF = 20.0
"""Seconds of the longest wait between two tries, as botocore's standard mode has it."""
_TOO_MANY = 429
"""HTTP's Too Many Requests."""
NO_PROFILE: Mapping[str, Any] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
}
"""Variables of a botocore session that has keys of its own: a profile or config file of the user's has no business there."""
_NOT_PICKLED = "credentials are not pickled: ship the Role, and assume it where it is needed"


class Keys:
    """Access key, secret key and token: a value that shows and pickles nothing."""

    __slots__ = ("_frozen",)

    def __init__(self, access_key: str, secret_key: str, token: Optional[str] = None) -> None:
        self._frozen = _frozen(access_key, secret_key, token)

    def credentials(self) -> Credentials:
        """As botocore takes them."""
        return Credentials(*self._frozen[:3])

    def __repr__(self) -> str:
        return "Keys(redacted)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(_NOT_PICKLED)


def _frozen(access_key: str, secret_key: str, token: Optional[str]) -> ReadOnlyCredentials:
    """Keys to sign with, whose repr tells nothing: botocore's frames hold them, and tracebacks may print locals."""
    return ReadOnlyCredentials(
        register_credential(access_key),
        register_credential(secret_key),
        register_credential(token) if token else None,
    )


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
    """One session for each distinct role, one client for each role, service and region, shared by all threads.

    ``clock`` gives seconds since the epoch; a session is renewed by it.
    """

    # No lock here is held while STS is asked: a slow answer for one role keeps nobody else waiting. Making a client takes
    # _making, then _lock; asking STS takes the role's own lock, then those two. None of them is taken the other way round.

    def __init__(
        self,
        identity: JobIdentity,
        *,
        session_name: str = "rolerunner",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._session_name = session_name
        self._clock = clock
        self._lock = threading.Lock()
        self._making = threading.RLock()
        self._asking_caller = threading.Lock()
        self._loader = shared_loader()
        self._sessions: dict[tuple[Role, str], boto3.Session] = {}
        self._handlers: Optional[HierarchicalEmitter] = None
        self._botocore: dict[tuple[Role, str], botocore.session.Session] = {}
        self._sources: dict[Role, _Renewed] = {}
        self._keys: dict[Role, Role] = {}
        self._clients: dict[tuple[Role, str, str, str, str], Any] = {}
        self._lender: Optional[Callable[[Role, str], PortableLease]] = None
        self._caller: Optional[str] = None
        self._caller_role: Optional[str] = None
        self._region: Optional[str] = None
        _quiet_loud_loggers()

    def session(self, role: Role) -> boto3.Session:
        """The role's boto3 session; its credentials are asked for when it is first used.

        Clients that it makes itself are not shared; they get the same endpoints, and the role's region.
        """
        region = role.region or self._known_region()
        return self._session(self._effective(role), region)

    def client(
        self, role: Role, service: str, *, region: str = "", config: Optional[Config] = None
    ) -> Any:
        """A client of the role for a service, made once for each role, region and ``config``.

        Raises UsageError where no region is known, StepError where there is no such service.
        """
        return self._client(
            self._effective(role), service, region or role.region or self.region(), "", config
        )

    def credentials(self, role: Role) -> Credentials:
        """What requests of the role are signed with: ask ``get_frozen_credentials()`` at every signature, which may raise RoleRefused.

        ``invalidate(None)`` takes the session for expired; true where there is hope for another one.
        """
        return self._credentials(self._effective(role))

    def ca_bundle(self) -> Optional[str]:
        """The file or folder of certificates to trust instead of botocore's own: AWS_CA_BUNDLE, or a profile's ``ca_bundle``."""
        return (
            os.environ.get("REQUESTS_CA_BUNDLE")
            if (found := self._plain_session().get_config_variable("ca_bundle")) is None
            else str(found)
        )

    def lend(self, role: Role, expired: str = "") -> PortableLease:
        """The role's session for a process that was forked; the one with the token ``expired`` is none any more. Raises RoleRefused."""
        credentials = self._credentials(self._effective(role))
        assert isinstance(credentials, _RoleCredentials)  # noqa: S101 - who is the job looks the job's up
        if expired:
            credentials.invalidate(expired)
        return credentials.lent()

    def borrow(self, ask: Callable[[Role, str], PortableLease]) -> None:
        """In a process that was forked: ask the other one for sessions instead of STS, as its ``lend``."""
        self._lender = ask

    def close(self) -> None:
        """Close the connections of all clients, which open new ones where they are used again."""
        for client in list(self._clients.values()):
            if hasattr(client, "close"):  # botocore has it since 1.22
                client.close()

    def assume(self, role: Role) -> None:
        """Assume the role now, if that is not done yet. Raises RoleRefused."""
        role = self._effective(role)
        if role.is_job:
            self.caller()
        else:
            self._credentials(role).get_frozen_credentials()

    def session_arn(self, role: Role) -> str:
        """The session's ARN as CloudTrail shows it; empty while the role is not assumed."""
        role = self._effective(role, ask=False)
        if role.is_job:
            return self._caller or ""
        source = self._sources.get(role)
        return source.session_arn if source else ""

    def assume_calls(self, role: Role) -> int:
        """How many AssumeRole requests the role has cost so far."""
        source = self._sources.get(self._effective(role, ask=False))
        return source.calls if source else 0

    def caller(self) -> str:
        """The ARN of the job's own identity; empty where STS cannot tell. GetCallerIdentity needs no permission."""
        if self._caller is None:
            with self._asking_caller:
                if self._caller is None:
                    self._caller = self._ask_caller()
        return self._caller

    def region(self) -> str:
        """The job's region. Raises UsageError where none is known."""
        found = self._known_region()
        if not found:
            raise UsageError(
                "no region is known: set AWS_REGION (in Glue: the argument --aws_region), or 'region' on the role"
            )
        return found

    def __reduce__(self) -> NoReturn:
        raise TypeError(_NOT_PICKLED)

    # sessions and clients

    def _known_region(self) -> str:
        if self._region is None:
            try:
                found = (
                    self._identity.region
                    or os.environ.get("AWS_REGION")
                    or self._plain_session().get_config_variable("region")
                )
            except ProfileNotFound as error:
                raise UsageError(
                    f"{error}: set AWS_PROFILE to a profile of ~/.aws/config, or unset it"
                ) from None
            self._region = str(found or "")
        return self._region

    def _effective(self, role: Role, *, ask: bool = True) -> Role:
        """A plain role that is the job's own is the job: assuming oneself would cost a call and a permission.

        Without ``ask`` STS is not called where the job's identity is not known yet, so that nothing can hang.
        """
        # kept here and not for the whole process: equal roles of another run may go by another name
        if role not in self._keys:
            self._keys[role] = _canonical(role)
        role = self._keys[role]
        if role.is_job or not role.is_plain:
            return role
        arn, caller = (
            RoleArn.parse(role.arn),
            _assumed_role(self.caller() if ask else self._caller or ""),
        )
        # names are unique in an account whatever their path, which an assumed-role ARN leaves out
        return (
            JOB if caller == (arn.account, arn.name) and role.account in {"", arn.account} else role
        )

    def _session(self, role: Role, region: str) -> boto3.Session:
        with self._making:
            if (role, region) not in self._sessions:
                self._sessions[role, region] = self._boto3_session(self._session_of(role), region)
            return self._sessions[role, region]

    def _session_of(self, role: Role) -> botocore.session.Session:
        session = self._plain_session()
        session.set_config_variable("sts_regional_endpoints", "regional")
        _use_credentials(session, self._credentials(role))
        return session

    def _plain_session(self) -> botocore.session.Session:
        session = self._bare_session(self._identity.profile or None)
        session.register_component("data_loader", self._loader)
        session.get_component("response_parser_factory").set_parser_defaults(
            timestamp_parser=parse_timestamp
        )
        return session

    def _bare_session(self, profile: Optional[str]) -> botocore.session.Session:
        """A session of botocore. Its 120 handlers of events, which are the same in each, are looked at and registered once."""
        own = NO_PROFILE if self._identity.keys is not None else None
        if self._handlers is None:
            handlers = HierarchicalEmitter()
            session = botocore.session.Session(own, handlers, profile=profile)
            self._handlers = copy.copy(handlers)
            return session
        return botocore.session.Session(
            own, copy.copy(self._handlers), include_builtin_handlers=False, profile=profile
        )

    def _boto3_session(self, session: botocore.session.Session, region: str) -> boto3.Session:
        from rolerunner.sessions.boto3_session import Session  # noqa: PLC0415 - boto3 takes 50 ms, and only a user's own code asks for it

        made = Session(session, region, self._settings, self._making)
        deduplicate_search_paths(self._loader)
        return made

    def _settings(
        self, service: str, endpoint: Optional[str] = None, config: Optional[Config] = None
    ) -> dict[str, Any]:
        """The endpoint and config of a service's client, where they are not given."""
        endpoint = endpoint or endpoint_for(service, self._identity.endpoints)
        return {
            "endpoint_url": endpoint,
            "config": config or client_config(endpoint if service == "s3" else None),
        }

    def _credentials(self, role: Role) -> _Renewed:
        with self._lock:
            if role not in self._sources:
                if role.is_job:
                    self._sources[role] = _JobCredentials(self._look_up_job)
                else:
                    self._sources[role] = _RoleCredentials(
                        role, functools.partial(self._ask_sts, role), self._clock
                    )
            return self._sources[role]

    def _look_up_job(self) -> Credentials:
        """The job's own credentials, looked up anew. botocore renews those that can be. Raises NoCredentialsError."""
        if self._identity.keys is not None:
            return self._identity.keys.credentials()
        found = self._plain_session().get_credentials()
        if found is None:
            raise NoCredentialsError
        return found

    def _client(
        self, role: Role, service: str, region: str, endpoint: str, config: Optional[Config]
    ) -> Any:
        settings = (
            repr(sorted(vars(config).items(), key=lambda item: item[0]))
            if config is not None
            else ""
        )
        key = (role, service, region, endpoint, settings)
        found = self._clients.get(key)  # the usual case takes no lock
        if found is not None:
            return found
        with self._making:  # creating clients is not thread-safe, using them is
            if key not in self._clients:
                self._clients[key] = self._new_client(role, service, region, endpoint, config)
            return self._clients[key]

    def _new_client(
        self, role: Role, service: str, region: str, endpoint: str, config: Optional[Config]
    ) -> Any:
        config = copy.deepcopy(
            config
        )  # botocore writes the number of retries in another way, in place: the key would be another one
        try:
            if (role, region) not in self._botocore:
                self._botocore[role, region] = self._session_of(role)
                self._botocore[role, region].register("creating-client-class.s3", _add_transfers)
            client = self._botocore[role, region].create_client(
                service, region_name=region, **self._settings(service, endpoint, config)
            )
        except ProfileNotFound as error:
            raise UsageError(
                f"{error}: set AWS_PROFILE to a profile of ~/.aws/config, or unset it"
            ) from None
        except (BotoCoreError, ValueError) as error:
            raise StepError(
                f"no client for '{service}' in {region}: {error}", type="ClientFailed"
            ) from error
        bound_responses(client)
        # before botocore's own handler, which would not try an expired session again
        client.meta.events.register_first("needs-retry", self._credentials(role).retry_if_expired)
        client.meta.events.register_first("needs-retry.s3", _retry_conflict)
        return client

    # STS

    def _ask_sts(self, role: Role, source_is: _RoleCredentials) -> _Lease:
        """One AssumeRole; where the source's own credentials have expired, once more with those looked up anew."""
        if self._lender is not None:
            return source_is.borrowed(self._lender(role, source_is.given_up))
        source, region = role.via or JOB, role.region or self.region()
        for attempt in (1, 2):
            sent_with = self._source_ready(role, source)
            try:
                return source_is.lease_of(self._assume_role(role, source, region, source_is))
            except ClientError as error:
                if (
                    attempt == 1
                    and denials.AwsError.of(error).code in denials.EXPIRED_CODES
                    and self._credentials(source).invalidate(sent_with)
                ):
                    continue
                raise self._refusal(role, source, error) from None
            except BotoCoreError as error:
                raise _unreachable(role, region, error) from None
            except RoleRefused:
                raise
            except StepError as error:
                raise RoleRefused(
                    f"the role '{role}' could not be assumed: {error}",
                    role=str(role),
                    hint=error.hint,
                    type=error.type,
                ) from None
            except UsageError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever an answer that is not STS's makes the parser raise
                raise _not_sts(role, region, error) from None
        raise AssertionError  # pragma: no cover - the second attempt returns or raises

    def _assume_role(
        self, role: Role, source: Role, region: str, source_is: _RoleCredentials
    ) -> Mapping[str, Any]:
        client, request = (
            self._sts_client(source, role, region),
            build_assume_request(role, self._session_name),
        )

        def ask() -> Mapping[str, Any]:
            source_is.calls += 1
            answer: Mapping[str, Any] = client.assume_role(**request)
            return answer

        return _wait_out_throttling(ask)

    def _source_ready(self, role: Role, source: Role) -> Any:
        """What the request will be signed with. A refusal of the source is said as such: STS is not asked for ``role``."""
        try:
            return self._credentials(source).get_frozen_credentials().token
        except NoCredentialsError:
            raise RoleRefused(
                f"the role '{role}' could not be assumed: the job has no AWS credentials of its own",
                role=str(role), hint=_NO_CREDENTIALS, type="NoCredentials",
            ) from None  # fmt: skip
        except RoleRefused as refusal:
            through = refusal.through or str(source)
            message = f"the role '{role}' could not be assumed: it is reached through '{through}', which was refused"
            raise RoleRefused(
                message,
                role=str(role),
                hint=refusal.message,
                type="SourceRefused",
                asked_by=refusal.asked_by,
                through=through,
            ) from None
        except BotoCoreError as error:
            message = f"the role '{role}' could not be assumed: the job's own credentials cannot be looked up: {error}"
            raise RoleRefused(
                message, role=str(role), hint=_NO_CREDENTIALS, type="NoCredentials"
            ) from None

    def _sts_client(self, source: Role, role: Role, region: str) -> Any:
        return self._client(source, "sts", region, role.sts_endpoint, _STS_CONFIG)

    def _refusal(self, role: Role, source: Role, error: ClientError) -> RoleRefused:
        taken = denials.AwsError.of(error)
        if not source.is_job:
            return denials.explain_role_refusal(
                role, taken, denials.Caller(self.session_arn(source), source.arn)
            )
        caller_role = self._full_role_of_caller() if taken.code in denials.DENIED_CODES else ""
        return denials.explain_role_refusal(role, taken, denials.Caller(self.caller(), caller_role))

    def _full_role_of_caller(self) -> str:
        """The job's own role with its path, where iam:GetRole is allowed; asked once, after a refusal only."""
        with self._asking_caller:
            if self._caller_role is None:
                self._caller_role = self._ask_role(_assumed_role(self._caller or ""))
            return self._caller_role

    def _ask_role(self, caller: Optional[tuple[str, str]]) -> str:
        if caller is None:
            return ""
        try:
            return str(
                self._client(JOB, "iam", self.region(), "", _STS_CONFIG).get_role(
                    RoleName=caller[1]
                )["Role"]["Arn"]
            )
        except (BotoCoreError, ClientError, StepError):
            return ""

    def _ask_caller(self) -> str:
        try:
            client = self._sts_client(JOB, JOB, self.region())
            return str(_wait_out_throttling(client.get_caller_identity)["Arn"])
        except UsageError:
            raise
        except Exception:  # noqa: BLE001 - an endpoint for S3 alone may answer anything
            return ""


def _retry_conflict(
    response: Any = None, operation: Any = None, attempts: int = 1, **_: Any
) -> Optional[float]:
    """Botocore's needs-retry, for what S3 asks to be tried again and botocore does not: some conflicts, and 429 of any code."""
    if response is None or attempts >= _TRIES:
        return None
    code = str(response[1].get("Error", {}).get("Code", ""))
    if response[0].status_code == _TOO_MANY or denials.is_conflict(code, operation.name):
        return float(random.random() * min(_MAX_BACKOFF, 0.25 * 2**attempts))
    return None


def _add_transfers(class_attributes: dict[str, Any], **_: Any) -> None:
    """What boto3 adds to botocore's clients of S3, imported when it is called: users' code may."""
    for name in ("upload_file", "upload_fileobj", "download_file", "download_fileobj", "copy"):
        class_attributes[name] = functools.partialmethod(_transfer, name)


def _transfer(client: Any, name: str, *arguments: Any, **options: Any) -> Any:
    from boto3.s3 import inject  # noqa: PLC0415 - see above

    return getattr(inject, name)(client, *arguments, **options)


@dataclass(frozen=True)
class PortableLease:
    """A session on its way to a process of this machine, over a socket that only the two have. Times in seconds since the epoch."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    session_arn: str
    began: float
    expires_at: float


def _plain(secret: Optional[str]) -> str:
    """The text of a secret, which can be pickled."""
    return str(secret or "")


class _Renewed(Credentials):  # type: ignore[misc]  # botocore has no annotations
    """Credentials whose keys are looked up when they are asked for, and which show and pickle nothing."""

    # not super().__init__: it would store keys as plain attributes
    method = "rolerunner"
    account_id: Optional[str] = None
    session_arn = ""
    calls = 0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The keys to sign with now."""
        raise NotImplementedError

    def invalidate(self, token: Any) -> bool:
        """Take the session with this token for expired. Is there hope for another one?"""
        raise NotImplementedError

    def retry_if_expired(
        self, response: Any = None, attempts: int = 1, request_dict: Any = None, **_: Any
    ) -> Optional[int]:
        """Botocore's needs-retry: a service says that the session has expired, so sign once more with a new one, at once."""
        del request_dict
        code = response[1].get("Error", {}).get("Code", "") if response else ""
        if attempts == 1 and code in denials.EXPIRED_CODES and self.invalidate(None):
            return 0
        return None

    @property
    def access_key(self) -> Any:
        return self.get_frozen_credentials().access_key

    @property
    def secret_key(self) -> Any:
        return self.get_frozen_credentials().secret_key

    @property
    def token(self) -> Any:
        return self.get_frozen_credentials().token

    def __repr__(self) -> str:
        return "<credentials, redacted>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(_NOT_PICKLED)


class _JobCredentials(_Renewed):
    """The job's own, looked up once by all threads, and again where they turn out to have expired."""

    def __init__(self, look_up: Callable[[], Credentials]) -> None:
        self._look_up = look_up
        self._lock = threading.Lock()
        self._found: Optional[Credentials] = None
        self._last: Optional[ReadOnlyCredentials] = None
        self._earlier: deque[ReadOnlyCredentials] = deque(maxlen=_EARLIER)

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        found = self._found
        if found is None:
            with self._lock:
                if self._found is None:
                    self._found = self._look_up()
                found = self._found
        frozen = found.get_frozen_credentials()
        last = self._last
        if last is None or last != frozen[:3]:
            if last is not None:
                self._earlier.append(last)  # they may be good for hours yet
            # kept, so that the log knows them for as long as they are in use
            self._last = last = _frozen(frozen.access_key, frozen.secret_key, frozen.token)
        return last

    def invalidate(self, token: Any) -> bool:
        with self._lock:
            if (
                token is None
                or self._found is None
                or self._found.get_frozen_credentials().token == token
            ):
                self._found = None  # another thread may have looked already
        return True


class _RoleCredentials(_Renewed):
    """A role's credentials, renewed when they are asked for. botocore asks at every signature."""

    def __init__(
        self, role: Role, ask: Callable[[_RoleCredentials], _Lease], clock: Callable[[], float]
    ) -> None:
        self.account_id = RoleArn.parse(role.arn).account
        self.session_arn = ""
        self.calls = 0
        self._role = role
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._current: Optional[_Lease] = None
        self._earlier: deque[_Lease] = deque()
        """Sessions that were renewed before they expired: whoever has their keys can still use them, so they stay secrets."""
        self._refusal: Optional[RoleRefused] = None
        self._warned = False
        self._hold_until = 0.0
        self._asked_at = 0.0
        self.given_up = ""
        """The token of the session that was last said to have expired."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The keys to sign with now. Raises RoleRefused."""
        lease, now = self._current, self._clock()
        if lease is not None and now < lease.renew_at:
            return lease.frozen
        if lease is not None and now < lease.late_at:
            if self._lock.acquire(blocking=False):  # one renews, the others go on
                try:
                    self._renew_if_due()
                finally:
                    self._lock.release()
        else:
            with self._lock:
                self._renew_if_due()
        return self._usable().frozen

    def invalidate(self, token: Any) -> bool:
        """See _Renewed. A session that was made just now stays: many threads may say the same of the one before it."""
        lease = self._current
        with self._lock:
            if self._current is not lease or lease is None:
                return True
            fresh = self._clock() - lease.began < FRESH
            if not fresh and token in {None, lease.frozen.token}:
                self.given_up = lease.frozen.token or ""
                self._keep(lease)
                self._current = None
        return not fresh or token != lease.frozen.token

    def _usable(self) -> _Lease:
        lease = self._current
        if lease is not None and self._clock() < lease.expires_at:
            return lease
        if self._refusal is not None:
            raise _again(self._refusal)
        raise RoleRefused(
            f"the session of the role '{self._role}' has expired",
            role=str(self._role),
            type="ExpiredToken",
        )

    def _renew_if_due(self) -> None:
        now, lease = self._clock(), self._current
        if (lease is not None and now < lease.renew_at) or now < self._hold_until:
            return
        self._asked_at = now
        try:
            self._current = self._ask(self)
            self._keep(lease)
            self._refusal, self._warned = None, False
        except RoleRefused as refusal:
            self._refused(refusal, lease, now)

    def _keep(self, lease: Optional[_Lease]) -> None:
        now = self._clock()
        while self._earlier and self._earlier[0].expires_at <= now:
            self._earlier.popleft()
        if lease is not None and lease.expires_at > now:
            self._earlier.append(lease)

    def _refused(self, refusal: RoleRefused, lease: Optional[_Lease], now: float) -> None:
        self._refusal = _again(
            refusal
        )  # without its traceback, whose frames hold more than is needed
        if lease is None or now >= lease.expires_at:
            self._hold_until = self._clock() + HOLD_REFUSAL
            return
        self._hold_until = min(now + HOLD_EARLY_FAILURE, lease.expires_at)
        if not self._warned:
            self._warned = True
            left = int(lease.expires_at - now)
            _LOG.warning(
                "the session of the role '%s' could not be renewed, it is good for %d s more: %s",
                self._role,
                left,
                refusal.message,
            )

    def lease_of(self, answer: Mapping[str, Any]) -> _Lease:
        """AssumeRole's answer, taken apart. Raises RoleRefused for a session of another role or account than the spec's."""
        keys = answer["Credentials"]
        frozen = _frozen(
            *(
                _required_text(keys.pop(name), name)
                for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
            )
        )
        self.session_arn = self._checked_arn(
            _required_text(answer["AssumedRoleUser"]["Arn"], "Arn")
        )
        # not the answer's Expiration: that is AWS's clock, and this machine's may differ by minutes
        return _Lease.starting(self._asked_at, self._asked_at + self._role.duration, frozen)

    def _checked_arn(self, arn: str) -> str:
        """The session's ARN. Raises RoleRefused where it names another role than the one that was asked for."""
        asked = RoleArn.parse(self._role.arn)
        found = re.fullmatch(r"arn:[^:]+:sts::([^:]*):assumed-role/(?:.*/)?([^/]+)/[^/]+", arn)
        if found is None:
            raise ValueError(f"'{arn[:200]}' is no ARN of an assumed role")
        account, name = found.groups()
        pinned = self._role.account or asked.account
        if account != pinned:
            message = f"the role '{self._role}' was assumed in account {account}, but the spec says {pinned}: the session is not used"
            raise RoleRefused(message, role=str(self._role), type="WrongAccount")
        if name != asked.name:
            message = f"STS returned a session of the role '{name}' for the role '{self._role}' ({self._role.arn}): it is not used"
            raise RoleRefused(
                message,
                role=str(self._role),
                hint="see which server answers for STS: AWS_ENDPOINT_URL_STS",
                type="WrongRole",
            )
        return arn

    def lent(self) -> PortableLease:
        """The session for another process of this machine. Raises RoleRefused."""
        self.get_frozen_credentials()
        lease = self._usable()
        keys = lease.frozen
        return PortableLease(
            _plain(keys.access_key), _plain(keys.secret_key), _plain(keys.token), self.session_arn, lease.began, lease.expires_at
        )  # fmt: skip

    def borrowed(self, lent: PortableLease) -> _Lease:
        """What another process lent. Raises RoleRefused where that is what this one has already."""
        if self._current is not None and self._current.frozen.token == lent.token:
            raise RoleRefused(
                "there is no newer session yet", role=str(self._role), type="ExpiredToken"
            )
        self.session_arn = lent.session_arn
        return _Lease.starting(
            lent.began, lent.expires_at, _frozen(lent.access_key, lent.secret_key, lent.token)
        )

    def __repr__(self) -> str:
        return f"<credentials of {self._role}, redacted>"


@dataclass(frozen=True)
class _Lease:
    """Keys and the times, in seconds since the epoch, between which they are used in each way."""

    frozen: ReadOnlyCredentials = field(repr=False)
    began: float
    renew_at: float
    late_at: float
    expires_at: float

    @classmethod
    def starting(cls, now: float, expires_at: float, frozen: ReadOnlyCredentials) -> _Lease:
        life = max(expires_at - now, 0.0)
        early, late = min(EARLY_MOST, EARLY_SHARE * life), min(LATE_MOST, LATE_SHARE * life)
        return cls(frozen, now, expires_at - early, expires_at - late, expires_at)


def _canonical(role: Role) -> Role:
    """The role as the key of its session: what has no order in AWS has one here."""
    policy = role.policy
    if policy:
        with contextlib.suppress(ValueError):  # AWS will say what is wrong with it
            policy = json.dumps(json.loads(policy), sort_keys=True, separators=(",", ":"))
    return replace(
        role, via=_canonical(role.via) if role.via is not None and not role.via.is_job else None, policy=policy,
        policy_arns=tuple(sorted(role.policy_arns)), tags=tuple(sorted(role.tags)), transitive_tag_keys=tuple(sorted(role.transitive_tag_keys)),
    )  # fmt: skip


def _quiet_loud_loggers() -> None:
    for name in _LOUD_LOGGERS:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.INFO or logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def client_config(endpoint: Optional[str] = None, *, connections: int = 64) -> Config:
    """How clients behave: standard retries, as many connections as workers, path-style on endpoints that are not AWS's."""
    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "max_attempts": _TRIES},
        "max_pool_connections": connections,
        "connect_timeout": 10,
        "read_timeout": 60,
        "user_agent_extra": "rolerunner",
    }
    if endpoint and not re.search(r"\.amazonaws\.com(\.cn)?(:\d+)?(/|\Z)", endpoint):
        settings["s3"] = {"addressing_style": "path"}
    return Config(**settings)


def build_assume_request(role: Role, session_name: str) -> dict[str, Any]:
    """The parameters of AssumeRole for a role: only those it has."""
    request: dict[str, Any] = {
        "RoleArn": role.arn,
        "RoleSessionName": format_session_name(
            role.session_name or "-".join(filter(None, (session_name, role.step)))
        ),
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


def format_session_name(text: str) -> str:
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


def parse_timestamp(value: Any) -> datetime:
    """A moment in an answer. S3's and STS's own form is taken apart by place, all others by botocore.

    botocore tries every form there is, which takes two thirds of the time of a listing.
    """
    if isinstance(value, str) and len(value) in (20, 24) and value[-1] == "Z" and value[10] == "T":
        with contextlib.suppress(ValueError):
            year, month, day, hour, minute, second = (
                int(value[start:end]) for start, end in _PLACES
            )
            return datetime(
                year,
                month,
                day,
                hour,
                minute,
                second,
                int(value[20:23] or 0) * 1000,
                tzinfo=timezone.utc,
            )
    return botocore.utils.parse_timestamp(value)  # type: ignore[no-any-return]


_PLACES = ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))


def _use_credentials(session: botocore.session.Session, credentials: Credentials) -> None:
    """Give a session these credentials and no others: nothing of the environment is looked at."""
    session.register_component("credential_provider", CredentialResolver([_Memoised(credentials)]))


def _required_text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"it has no {name}")
    return value


def _wait_out_throttling(ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The answer to a request of STS. While STS is asked too often, the request is repeated after random, growing waits.

    Many jobs that start together assume many roles at once; STS allows some 600 requests a second for an account and region.
    """
    end, longest = time.monotonic() + _THROTTLED_AT_MOST, _FIRST_WAIT
    while True:
        try:
            return ask()
        except ClientError as error:
            wait = random.uniform(longest / 4, longest)
            if (
                not denials.is_throttling_response(denials.AwsError.of(error))
                or time.monotonic() + wait > end
            ):
                raise
        time.sleep(wait)
        longest = min(2 * longest, _LONGEST_WAIT)


def _again(refusal: RoleRefused) -> RoleRefused:
    """A refusal to raise once more: one exception object raised by many threads would share its traceback."""
    return RoleRefused(
        refusal.message, role=refusal.role, hint=refusal.hint, type=refusal.type, asked_by=refusal.asked_by, through=refusal.through
    )  # fmt: skip


def _assumed_role(arn: str) -> Optional[tuple[str, str]]:
    found = re.match(r"arn:[^:]+:sts::(\d{12}):assumed-role/([^/]+)/", arn)
    return (found.group(1), found.group(2)) if found else None


_NO_CREDENTIALS = "in Glue the job's role gives them; on a laptop run 'aws sso login' or set AWS_PROFILE, or try --sandbox"


# A VPC job without a route to STS would hang for minutes on botocore's defaults.
_STS_CONFIG = Config(
    connect_timeout=5,
    read_timeout=10,
    retries={"mode": "standard", "max_attempts": 3},
    user_agent_extra="rolerunner",
)


_THROTTLED_AT_MOST = 90.0
"""Seconds that throttling of a role's request is waited out."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0


def _not_sts(role: Role, region: str, error: Exception) -> RoleRefused:
    reason = (
        f"it has no {error}"
        if isinstance(error, KeyError)
        else next(iter(safe_text(error).splitlines()), type(error).__name__)
    )
    return RoleRefused(
        f"the role '{role}' could not be assumed: the answer is not one of STS: {reason[:_LONGEST_REASON]}", role=str(role), type="NotSts",
        hint=f"a proxy or another server answers for STS in {region}: see AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_STS and HTTPS_PROXY",
    )  # fmt: skip


_LONGEST_REASON = 200


def _unreachable(role: Role, region: str, error: BotoCoreError) -> RoleRefused:
    message = f"the role '{role}' could not be assumed: {error}"
    hint, kind = "", type(error).__name__
    if isinstance(error, (ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError)):
        kind = "StsUnreachable"
        hint = f"there is no route to STS in {region}: a job in a VPC needs an STS interface endpoint there, or a NAT gateway"
    elif isinstance(error, NoRegionError):
        hint = "set AWS_REGION, or 'region' on the role"
    return RoleRefused(message, role=str(role), hint=hint, type=kind)
