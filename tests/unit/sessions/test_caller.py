from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner.errors import UsageError
from rolerunner.sessions.botocore_setup import BotocoreSessions
from rolerunner.sessions.caller import CallerIdentity
from rolerunner.sessions.clients import ClientCache
from rolerunner.sessions.credentials import JobCredentials
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from tests.memory_aws import STS_NAMESPACE, Response, error, xml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.memory_aws import Request, Store

KEYS = Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests")
ARN = "arn:aws:sts::999999999999:assumed-role/job/x"
ROLE_ARN = "arn:aws:iam::999999999999:role/service/job"
ROLE = xml(
    "<GetRoleResponse xmlns='https://iam.amazonaws.com/doc/2010-05-08/'><GetRoleResult><Role>"
    f"<Path>/service/</Path><RoleName>job</RoleName><RoleId>A</RoleId><Arn>{ROLE_ARN}</Arn>"
    "<CreateDate>2026-01-01T00:00:00Z</CreateDate></Role></GetRoleResult></GetRoleResponse>"
)


def create_caller(region: str = "eu-west-1") -> CallerIdentity:
    sessions = BotocoreSessions(JobIdentity(region, keys=KEYS))
    job = JobCredentials(KEYS.to_credentials)
    return CallerIdentity(job, ClientCache(sessions), sessions.require_region)


def respond(service: str, response: Response) -> Callable[[Request], Response | None]:
    return lambda request: response if request.service == service else None


def identity(arn: str) -> Response:
    return xml(
        f"<GetCallerIdentityResponse xmlns='{STS_NAMESPACE}'><GetCallerIdentityResult>"
        f"<Arn>{arn}</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )


def test_the_arn_is_requested_once(memory_aws: Store) -> None:
    caller = create_caller()
    assert caller.known_arn == ""
    assert [caller.find_arn(), caller.find_arn(), caller.known_arn] == [ARN] * 3
    assert len(memory_aws.requests) == 1


@pytest.mark.parametrize("response", [Response(200, {}, b"not STS"), error(404, "NoSuchKey")])
def test_an_endpoint_that_is_not_sts_leaves_the_arn_empty(
    response: Response, memory_aws: Store
) -> None:
    memory_aws.hook = respond("sts", response)
    caller = create_caller()
    assert (caller.find_arn(), caller.find_role_arn()) == ("", "")


def test_a_missing_region_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="set AWS_REGION"):
        create_caller("").find_arn()


def test_the_role_has_its_path_and_is_requested_once(memory_aws: Store) -> None:
    memory_aws.hook = respond("iam", ROLE)
    caller = create_caller()
    caller.find_arn()
    assert [caller.find_role_arn(), caller.find_role_arn()] == [ROLE_ARN] * 2
    (request,) = iam_requests(memory_aws)
    assert b"RoleName=job&" in request.body + b"&"


def test_a_job_that_may_not_read_its_role_has_none(memory_aws: Store) -> None:
    memory_aws.hook = respond("iam", error(403, "AccessDenied"))
    caller = create_caller()
    caller.find_arn()
    assert [caller.find_role_arn(), caller.find_role_arn()] == ["", ""]
    assert len(iam_requests(memory_aws)) == 1


def test_a_user_has_no_role(memory_aws: Store) -> None:
    memory_aws.hook = respond("sts", identity("arn:aws:iam::999999999999:user/somebody"))
    caller = create_caller()
    assert caller.find_arn() == "arn:aws:iam::999999999999:user/somebody"
    assert caller.find_role_arn() == ""
    assert iam_requests(memory_aws) == []


def iam_requests(store: Store) -> list[Request]:
    return [request for request in store.requests if request.service == "iam"]
