from __future__ import annotations

import logging
import pickle
import threading
from typing import Any

import pytest
from botocore.credentials import Credentials

from rolerunner.errors import RoleRefused
from rolerunner.model import JOB, Role
from rolerunner.sessions.credentials import (
    EARLY_FAILURE_HOLD_SECONDS,
    FRESH_SECONDS,
    REFUSAL_HOLD_SECONDS,
    JobCredentials,
    RoleCredentials,
    TemplateCredentials,
)
from rolerunner.sessions.keys import Keys, freeze_keys
from rolerunner.sessions.lease import Lease, LeaseRequest

ROLE = Role("arn:aws:iam::111122223333:role/reader", "reader")
LIFE = 900.0
RENEW_AT, LATE_AT = 630.0, 810.0


class FakeSource:
    """Returns numbered sessions of 900 seconds, or refuses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.requests: list[LeaseRequest] = []
        self.is_refusing = False

    def assume(self, request: LeaseRequest) -> Lease:
        self.requests.append(request)
        if self.is_refusing:
            raise RoleRefused("no", role="reader", hint="hint", type="RoleRefused")
        keys = freeze_keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests", f"token-{len(self.requests)}")
        return Lease.start(keys, f"arn-{len(self.requests)}", self.now, self.now + LIFE)


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def credentials(source: FakeSource) -> RoleCredentials:
    job = JobCredentials(Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests").to_credentials)
    return RoleCredentials(ROLE, job, source.assume, lambda: source.now)


def sign(credentials: RoleCredentials) -> str:
    return str(credentials.get_frozen_credentials().token)


@pytest.mark.parametrize(
    ("now", "token"),
    [(RENEW_AT - 1, "token-1"), (RENEW_AT, "token-2"), (LATE_AT, "token-2"), (5000, "token-2")],
)
def test_a_session_is_renewed_from_its_renewal_time_on(
    now: float, token: str, source: FakeSource, credentials: RoleCredentials
) -> None:
    assert sign(credentials) == "token-1"
    source.now = now
    assert sign(credentials) == token
    assert credentials.session_arn == token.replace("token", "arn")


def test_other_threads_use_the_old_session_during_an_early_renewal(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    source.now = RENEW_AT
    with credentials._lock:  # as the renewing thread holds it
        assert sign(credentials) == "token-1"
    assert len(source.requests) == 1


def test_an_early_renewal_that_fails_is_repeated_after_a_hold(
    source: FakeSource, credentials: RoleCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    sign(credentials)
    source.now, source.is_refusing = RENEW_AT, True
    with caplog.at_level(logging.WARNING, "rolerunner"):
        for elapsed in (0.0, EARLY_FAILURE_HOLD_SECONDS - 1, EARLY_FAILURE_HOLD_SECONDS):
            source.now = RENEW_AT + elapsed
            assert sign(credentials) == "token-1"
    assert len(source.requests) == 3
    (record,) = caplog.records
    assert "valid for 270 s more" in record.getMessage()


def test_a_refusal_is_held_and_raised_as_a_copy(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    source.is_refusing = True
    raised: list[RoleRefused] = []
    for now in (0.0, REFUSAL_HOLD_SECONDS - 1, REFUSAL_HOLD_SECONDS):
        source.now = now
        with pytest.raises(RoleRefused) as refused:
            sign(credentials)
        raised.append(refused.value)
    assert len(source.requests) == 2
    assert raised[0] is not raised[1]
    assert {(each.message, each.hint, each.type) for each in raised} == {
        ("no", "hint", "RoleRefused")
    }


@pytest.mark.parametrize("token", [None, "token-1"])
def test_an_invalid_session_is_renewed_unless_it_is_fresh(
    token: Any, source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    source.now = FRESH_SECONDS - 1
    assert credentials.invalidate(token) is (token is None)
    assert sign(credentials) == "token-1"
    source.now = FRESH_SECONDS
    assert credentials.invalidate(token)
    assert sign(credentials) == "token-2"
    assert source.requests[1].expired_token == "token-1"
    assert source.requests[1].current_token == ""


def test_the_token_of_another_session_invalidates_nothing(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    source.now = FRESH_SECONDS
    assert credentials.invalidate("token-0")
    assert sign(credentials) == "token-1"


def test_an_expired_token_is_retried_at_once_and_only_once(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    source.now = FRESH_SECONDS
    response = (None, {"Error": {"Code": "ExpiredToken"}})
    assert credentials.retry_if_expired(response, attempts=2) is None
    assert credentials.retry_if_expired((None, {"Error": {"Code": "SlowDown"}})) is None
    assert credentials.retry_if_expired(None) is None
    assert credentials.retry_if_expired(response) == 0


def test_an_expired_session_whose_renewal_is_refused_is_a_refusal(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    source.now, source.is_refusing = LIFE - 1, True
    assert sign(credentials) == "token-1"
    for now, requests in ((LIFE, 3), (LIFE + 1, 3), (LIFE + REFUSAL_HOLD_SECONDS, 4)):
        source.now = now
        with pytest.raises(RoleRefused, match="no"):
            sign(credentials)
        assert len(source.requests) == requests


def test_a_session_that_is_expired_when_it_arrives_is_a_refusal() -> None:
    def acquire(_: LeaseRequest) -> Lease:
        return Lease.start(freeze_keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests", "t"), "arn", 0, 0)

    job = JobCredentials(Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests").to_credentials)
    expired = RoleCredentials(ROLE, job, acquire, lambda: 1.0)
    with pytest.raises(RoleRefused, match="the session of the role 'reader' has expired"):
        expired.get_frozen_credentials()


def test_a_session_that_was_never_requested_can_be_had(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    assert credentials.invalidate("token-0")
    assert credentials.invalidate(None)
    assert sign(credentials) == "token-1"


def test_a_session_that_another_thread_has_replaced_stays(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    source.now = FRESH_SECONDS

    class Replacing:
        """Stands for a lock that another thread held until it had renewed the session."""

        def __enter__(self) -> None:
            credentials._lock, credentials._current = lock, None
            sign(credentials)

        def __exit__(self, *_: object) -> None:
            return None

    lock: Any = credentials._lock
    credentials._lock = Replacing()  # type: ignore[assignment]
    assert credentials.invalidate("token-1")
    assert sign(credentials) == "token-2"
    assert len(source.requests) == 2


def test_earlier_keys_stay_secrets_until_they_expire(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    for now in (0.0, RENEW_AT, LIFE - 1):
        source.now = now
        sign(credentials)
    assert [lease.keys.token for lease in credentials._earlier] == ["token-1"]
    source.now = RENEW_AT + LIFE - 1
    assert sign(credentials) == "token-3"
    assert [lease.keys.token for lease in credentials._earlier] == ["token-2"]


def test_the_jobs_last_24_keys_stay_secrets() -> None:
    numbers = iter(range(100))

    def load() -> Any:
        return Keys(
            "AKID-OF-UNIT-TESTS", "key-of-unit-tests", f"token-{next(numbers)}"
        ).to_credentials()

    job = JobCredentials(load)
    for _ in range(30):
        job.get_frozen_credentials()
        job.invalidate(None)
    assert [keys.token for keys in job._earlier] == [f"token-{n}" for n in range(5, 29)]


def test_the_jobs_keys_are_loaded_once_for_two_threads() -> None:
    loads: list[None] = []

    def load() -> Any:
        loads.append(None)
        return Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests").to_credentials()

    job = JobCredentials(load)
    with job._lock:
        second = threading.Thread(target=job.get_frozen_credentials)
        second.start()
        job._loaded = load()
    second.join()
    assert len(loads) == 1


def test_a_failure_to_load_is_not_repeated_for_some_seconds() -> None:
    loads: list[None] = []
    now = [100.0]

    def load() -> Any:
        loads.append(None)
        raise ValueError("no keys")

    job = JobCredentials(load, lambda: "ops", lambda: now[0])
    for _ in range(3):
        with pytest.raises(RoleRefused, match=r"profile 'ops'.*no keys") as refused:
            job.get_frozen_credentials()
    assert (len(loads), refused.value.role) == (1, "job")
    now[0] += REFUSAL_HOLD_SECONDS
    with pytest.raises(RoleRefused):
        job.get_frozen_credentials()
    assert len(loads) == 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("AKID-OF-UNIT-TESTS ", "key-of-unit-tests", None), "the access key of .* white space"),
        (("AKID-OF-UNIT-TESTS", "key-of-unit-tests\n", None), "the secret key of .* line break"),
        (("AKID-OF-UNIT-TESTS", "key-of-unit-tests", "to\nken"), "the session token of .* line"),
        (("AKID-OF-UNIT-TESTS", None, None), "the secret key of .* is missing"),
    ],
)
def test_keys_that_cannot_sign_are_refused_each_time(keys: Any, message: str) -> None:
    job = JobCredentials(lambda: Credentials(*keys))
    for _ in range(2):
        with pytest.raises(RoleRefused, match=message):
            job.get_frozen_credentials()


def test_the_jobs_credentials_are_loaded_again_after_they_expire() -> None:
    loads: list[str] = []

    def load() -> Any:
        loads.append(f"token-{len(loads)}")
        return Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests", loads[-1]).to_credentials()

    job = JobCredentials(load)
    assert (job.token, job.token) == ("token-0", "token-0")
    assert job.invalidate("another")
    assert job.token == "token-0"
    assert job.invalidate("token-0")
    assert job.token == "token-1"
    assert job.invalidate(None)
    assert job.token == "token-2"


def test_credentials_are_neither_shown_nor_pickled(credentials: RoleCredentials) -> None:
    sign(credentials)
    assert "token-1" not in repr(credentials) + repr(vars(credentials))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(credentials)


def test_a_refusal_at_the_moment_of_expiry_is_held(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    source.is_refusing = True
    for now in (LIFE, LIFE + REFUSAL_HOLD_SECONDS - 1):
        source.now = now
        with pytest.raises(RoleRefused):
            sign(credentials)
    assert len(source.requests) == 2


def test_a_session_is_fresh_for_a_minute_after_its_begin(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    source.now = 1000.0
    sign(credentials)
    source.now = 1059.0
    assert not credentials.invalidate("token-1")
    source.now = 1060.0
    assert credentials.invalidate("token-1")


def test_holds_are_short() -> None:
    assert (REFUSAL_HOLD_SECONDS, EARLY_FAILURE_HOLD_SECONDS, FRESH_SECONDS) == (5.0, 30.0, 60.0)


class RecordingLock:
    """A lock that records how it is taken."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def acquire(self, *, blocking: bool) -> bool:
        self.taken.append("waiting" if blocking else "at once")
        return True

    def release(self) -> None:
        self.taken.append("released")

    def __enter__(self) -> None:
        self.taken.append("waiting")

    def __exit__(self, *_: object) -> None:
        self.taken.append("released")


@pytest.mark.parametrize(("now", "how"), [(LATE_AT - 1, "at once"), (LATE_AT, "waiting")])
def test_threads_wait_for_a_late_renewal(
    now: float, how: str, source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    source.now = now
    lock: Any = RecordingLock()
    credentials._lock = lock
    assert sign(credentials) == "token-2"
    assert lock.taken == [how, "released"]


def test_keys_are_forgotten_at_their_expiry(
    source: FakeSource, credentials: RoleCredentials
) -> None:
    sign(credentials)
    (first,) = {credentials.acquire_valid_lease()}
    source.now = 100.0
    later = source.assume(LeaseRequest(ROLE, credentials))
    credentials._earlier.extend([first, later])
    source.now = LIFE
    credentials._remember_keys(first)
    assert list(credentials._earlier) == [later]


def test_each_series_of_failed_renewals_is_told_once(
    source: FakeSource, credentials: RoleCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    sign(credentials)
    for start in (0.0, 700.0):
        source.is_refusing = True
        source.now = start + RENEW_AT
        sign(credentials)
        source.is_refusing = False
        source.now = start + 700.0
        sign(credentials)
    assert len(caplog.records) == 2


def test_the_jobs_keys_that_did_not_change_are_no_earlier_ones() -> None:
    job = JobCredentials(Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests").to_credentials)
    assert job.get_frozen_credentials() is job.get_frozen_credentials()
    assert not job._earlier


def test_the_keys_of_a_template_stand_for_those_of_a_role() -> None:
    template = TemplateCredentials()
    assert template.get_frozen_credentials()[:3] == ("template", "template", None)
    assert template.invalidate(None) is False
    assert (template.session_arn, template.account_id, template.role) == ("", None, JOB)
