from __future__ import annotations

import pytest

from rolerunner.errors import RoleRefused
from rolerunner.model import Role
from rolerunner.sessions.borrowed import BorrowedSessions
from rolerunner.sessions.credentials import JobCredentials
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.lease import LeaseRequest, PortableLease

ROLE = Role("arn:aws:iam::111122223333:role/reader", "reader")
SOURCE = JobCredentials(Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests").to_credentials)


def export_lease(role: Role, expired_token: str) -> PortableLease:
    token = "second" if expired_token == "first" else "first"
    return PortableLease(
        "AKID-OF-UNIT-TESTS", "key-of-unit-tests", token, f"arn of {role}", 0.0, 900.0
    )


def test_the_expired_token_reaches_the_other_process() -> None:
    source = BorrowedSessions(export_lease)
    lease = source.assume(LeaseRequest(ROLE, SOURCE))
    renewed = source.assume(LeaseRequest(ROLE, SOURCE, expired_token="first"))
    assert (lease.keys.token, lease.session_arn) == ("first", "arn of reader")
    assert renewed.keys.token == "second"


def test_the_session_in_use_is_no_newer_one() -> None:
    with pytest.raises(RoleRefused, match="no newer session") as refused:
        BorrowedSessions(export_lease).assume(LeaseRequest(ROLE, SOURCE, current_token="first"))
    assert (refused.value.type, refused.value.role) == ("ExpiredToken", "reader")


def test_a_session_without_a_token_may_be_the_first() -> None:
    def export(role: Role, _: str) -> PortableLease:
        return PortableLease("AKID-OF-UNIT-TESTS", "key-of-unit-tests", "", str(role), 0.0, 900.0)

    lease = BorrowedSessions(export).assume(LeaseRequest(ROLE, SOURCE))
    assert (lease.keys.token, lease.session_arn) == (None, "reader")
