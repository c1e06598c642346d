"""Credentials that botocore signs with, renewed when they are asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import RoleRefused, RolerunnerError
from rolerunner.iam.aws_errors import EXPIRED_CODES
from rolerunner.model import JOB, Role, RoleArn
from rolerunner.sessions.botocore_imports import Credentials, ReadOnlyCredentials
from rolerunner.sessions.keys import freeze_keys
from rolerunner.sessions.lease import LeaseRequest
from rolerunner.sessions.role_errors import explain_failed_credentials, explain_unusable_keys
from rolerunner.sessions.unpicklable import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.sessions.lease import Lease

_LOG = logging.getLogger("rolerunner.sessions.credentials")

REFUSAL_HOLD_SECONDS = 5.0
"""Time for which a refusal stands before STS is asked again."""
EARLY_FAILURE_HOLD_SECONDS = 30.0
"""Time between attempts at an early renewal that fails while the old session is still valid."""
FRESH_SECONDS = 60.0
"""Age below which a session stays in use though a service calls it expired: a new one is alike."""
_MAX_EARLIER_KEYS = 24
"""Number of the job's earlier keys that stay known as secrets; their expiry is not known."""


class RenewableCredentials(Unpicklable, Credentials):  # type: ignore[misc]  # botocore has no types
    """Base class: keys are looked up at each signature. Redacted repr; cannot be pickled."""

    # super().__init__ is never called: it would store the keys as plain attributes
    method = "rolerunner"
    account_id: Optional[str] = None
    session_arn = ""
    role: Role = JOB

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Returns the keys to sign with now."""
        raise NotImplementedError

    def invalidate(self, token: Any) -> bool:
        """Marks the session with this token (any session for None) as expired.

        Returns True if the session can be renewed.
        """
        raise NotImplementedError

    def retry_if_expired(
        self, response: Any = None, attempts: int = 1, request_dict: Any = None, **_: Any
    ) -> Optional[int]:
        """Handles botocore's needs-retry: signs once more, at once, after an expired token."""
        del request_dict
        code = response[1].get("Error", {}).get("Code", "") if response else ""
        if attempts == 1 and code in EXPIRED_CODES and self.invalidate(None):
            return 0
        return None

    @property
    def access_key(self) -> Any:
        """The access key to sign with now."""
        return self.get_frozen_credentials().access_key

    @property
    def secret_key(self) -> Any:
        """The secret key to sign with now."""
        return self.get_frozen_credentials().secret_key

    @property
    def token(self) -> Any:
        """The session token to sign with now."""
        return self.get_frozen_credentials().token

    def __repr__(self) -> str:
        return "<credentials, redacted>"


class JobCredentials(RenewableCredentials):
    """The job's own credentials: loaded once for all threads, and again after they expire.

    ``load`` returns them, and raises anything; ``find_profile`` names their profile, if any.
    """

    def __init__(
        self,
        load: Callable[[], Credentials],
        find_profile: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._find_profile = find_profile
        self._clock = clock
        self._lock = threading.Lock()
        self._loaded: Optional[Credentials] = None
        self._last: Optional[ReadOnlyCredentials] = None
        self._earlier: deque[ReadOnlyCredentials] = deque(maxlen=_MAX_EARLIER_KEYS)
        self._refusal: Optional[RoleRefused] = None
        self._hold_until = 0.0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Returns the keys to sign with now. Raises RoleRefused and UsageError."""
        frozen = self._read_keys()
        last = self._last
        if last is None or last[:3] != frozen[:3]:  # newer botocores have a fourth field
            if last is not None:
                self._earlier.append(last)  # they may be valid for hours yet
            _check_keys(frozen)
            # kept so that redaction knows them for as long as they are in use
            self._last = last = freeze_keys(frozen.access_key, frozen.secret_key, frozen.token)
        return last

    def _read_keys(self) -> ReadOnlyCredentials:
        """Returns botocore's keys, which it renews; a failure is not repeated for some seconds.

        Many threads may ask at once, and a source may take seconds to fail.
        """
        refusal = self._refusal
        if refusal is not None and self._clock() < self._hold_until:
            raise _copy_refusal(refusal)
        try:
            loaded = self._loaded or self._load_once()
            frozen = loaded.get_frozen_credentials()
        except RolerunnerError:
            raise
        except Exception as error:  # noqa: BLE001 - botocore's sources raise anything
            refusal = explain_failed_credentials(error, self._find_profile())
            self._refusal, self._hold_until = refusal, self._clock() + REFUSAL_HOLD_SECONDS
            raise _copy_refusal(refusal) from None
        self._refusal = None
        return frozen

    def _load_once(self) -> Credentials:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def invalidate(self, token: Any) -> bool:
        """Loads the credentials again at the next signature."""
        with self._lock:
            last = self._last
            if token is None or last is None or last.token == token:  # not renewed meanwhile
                self._loaded = None
        return True


def _check_keys(keys: ReadOnlyCredentials) -> None:
    """Raises RoleRefused for keys that no server accepts, which its error would not tell."""
    for name, value in (("access key", keys.access_key), ("secret key", keys.secret_key)):
        if not value:
            raise explain_unusable_keys(name, "is missing")
    for name, value in zip(("access key", "secret key", "session token"), keys[:3]):
        if value and (value != value.strip() or not value.isprintable()):
            raise explain_unusable_keys(name, "has white space around it, or a line break in it")


class TemplateCredentials(RenewableCredentials):
    """The keys of a client that builds requests and sends none; they are no secret."""

    def __init__(self) -> None:
        """Stores no keys."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Returns keys that stand for those of a role."""
        return ReadOnlyCredentials("template", "template", None)

    def invalidate(self, token: Any) -> bool:
        """Returns False: such keys are not renewed."""
        del token
        return False


class RoleCredentials(RenewableCredentials):
    """A role's credentials, renewed by whichever thread finds them due."""

    def __init__(
        self,
        role: Role,
        source: RenewableCredentials,
        acquire_lease: Callable[[LeaseRequest], Lease],
        clock: Callable[[], float],
    ) -> None:
        self.account_id = RoleArn.parse(role.arn).account
        self.session_arn = ""
        self.role = role
        self._source = source
        self._acquire_lease = acquire_lease
        self._clock = clock
        self._lock = threading.Lock()
        self._current: Optional[Lease] = None
        self._earlier: deque[Lease] = deque()
        """Leases renewed before they expired: their keys still work, so they stay secrets."""
        self._refusal: Optional[RoleRefused] = None
        self._has_warned = False
        self._hold_until = 0.0
        self._expired_token = ""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Returns the keys to sign with now. Raises RoleRefused."""
        lease, now = self._current, self._clock()
        if lease is not None and now < lease.renew_at:
            return lease.keys
        if lease is None or now >= lease.late_at:
            with self._lock:
                self._renew_if_due()
        elif self._lock.acquire(blocking=False):  # one thread renews, the others go on
            try:
                self._renew_if_due()
            finally:
                self._lock.release()
        return self._require_valid().keys

    @property
    def expires_at(self) -> Optional[float]:
        """The end of the current session, in seconds since the epoch; None while there is none."""
        lease = self._current
        return lease.expires_at if lease is not None else None

    def acquire_valid_lease(self) -> Lease:
        """Returns the current session, renewed if that is due. Raises RoleRefused."""
        self.get_frozen_credentials()
        return self._require_valid()

    def invalidate(self, token: Any) -> bool:
        """Marks the session as expired, unless it is fresh.

        A fresh one stays because many threads may report the same expired predecessor.
        """
        lease = self._current
        with self._lock:
            if self._current is not lease or lease is None:
                return True
            is_fresh = self._clock() - lease.began < FRESH_SECONDS
            if not is_fresh and token in {None, lease.keys.token}:
                self._expired_token = lease.keys.token or ""
                self._remember_keys(lease)
                self._current = None
        return not is_fresh or token != lease.keys.token

    def _require_valid(self) -> Lease:
        lease = self._current
        if lease is not None and self._clock() < lease.expires_at:
            return lease
        if self._refusal is not None:
            raise _copy_refusal(self._refusal)
        message = f"the session of the role '{self.role}' has expired"
        raise RoleRefused(message, role=str(self.role), type="ExpiredToken")

    def _renew_if_due(self) -> None:
        now, lease = self._clock(), self._current
        if (lease is not None and now < lease.renew_at) or now < self._hold_until:
            return
        current_token = str(lease.keys.token or "") if lease is not None else ""
        request = LeaseRequest(self.role, self._source, current_token, self._expired_token)
        try:
            renewed = self._acquire_lease(request)
        except RoleRefused as refusal:
            self._hold_refusal(refusal, lease, now)
            return
        self.session_arn = renewed.session_arn
        self._current = renewed
        self._remember_keys(lease)
        self._refusal, self._has_warned = None, False

    def _remember_keys(self, lease: Optional[Lease]) -> None:
        """Keeps the keys of an earlier lease known as secrets until it expires."""
        now = self._clock()
        while self._earlier and self._earlier[0].expires_at <= now:
            self._earlier.popleft()
        if lease is not None and lease.expires_at > now:
            self._earlier.append(lease)

    def _hold_refusal(self, refusal: RoleRefused, lease: Optional[Lease], now: float) -> None:
        self._refusal = _copy_refusal(refusal)  # the traceback's frames would keep objects alive
        if lease is None or now >= lease.expires_at:
            self._hold_until = self._clock() + REFUSAL_HOLD_SECONDS
            return
        self._hold_until = min(now + EARLY_FAILURE_HOLD_SECONDS, lease.expires_at)
        if self._has_warned:
            return
        self._has_warned = True
        _LOG.warning(
            "the session of the role '%s' could not be renewed; it is valid for %d s more: %s",
            self.role,
            int(lease.expires_at - now),
            refusal.message,
        )

    def __repr__(self) -> str:
        return f"<credentials of {self.role}, redacted>"


def _copy_refusal(refusal: RoleRefused) -> RoleRefused:
    """Returns a refusal to raise again: threads that raise one object would share its traceback."""
    return RoleRefused(
        refusal.message,
        role=refusal.role,
        hint=refusal.hint,
        type=refusal.type,
        asked_by=refusal.asked_by,
        through=refusal.through,
    )
