"""Role sessions against the emulator over HTTP; only the clock of the credentials is moved."""

from __future__ import annotations

import logging
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import sandbox
from rolerunner.errors import NotFound, RoleRefused, RolesRefused, StepError
from rolerunner.model import JOB, Role, S3Uri
from rolerunner.sandbox.statements import policy_document
from rolerunner.sessions.registry import Sessions
from rolerunner.storage.boto.engine import BotoEngine
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "111122223333"
JOB_ARN, HUB_ARN = f"arn:aws:iam::{ACCOUNT}:role/job", f"arn:aws:iam::{ACCOUNT}:role/hub"
HUB = Role(HUB_ARN, "hub", duration=900)
SPOKES = [
    Role(f"arn:aws:iam::{ACCOUNT}:role/spoke{number}", f"spoke{number}", via=HUB, duration=900)
    for number in range(8)
]
DENIED = Role(f"arn:aws:iam::{ACCOUNT}:role/denied", "denied")


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def make_trust_policy(arn: str) -> list[dict[str, Any]]:
    return [{"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}]


def make_assume_policy(*arns: str) -> list[dict[str, Any]]:
    return [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": list(arns)}]


@pytest.fixture
def aws() -> Iterator[sandbox.Sandbox]:
    roles = [
        {"arn": JOB_ARN, "permissions": make_assume_policy(HUB_ARN)},
        {
            "arn": HUB_ARN,
            "trust": make_trust_policy(JOB_ARN),
            "permissions": make_assume_policy(*(each.arn for each in SPOKES)),
        },
        {"arn": DENIED.arn},
    ]
    for number, each in enumerate(SPOKES):
        own = [
            {
                "Effect": "Allow",
                "Action": ["s3:*"],
                "Resource": [f"arn:aws:s3:::bucket{number}", f"arn:aws:s3:::bucket{number}/*"],
            }
        ]
        roles.append({"arn": each.arn, "trust": make_trust_policy(HUB_ARN), "permissions": own})
    buckets = [
        {
            "name": f"bucket{number}",
            "account": ACCOUNT,
            "objects": [{"key": "a", "text": "x"}, {"key": "none", "size": 0}],
        }
        for number in range(8)
    ]
    world = sandbox.World.model_validate(
        {"version": 1, "job_role": JOB_ARN, "roles": roles, "buckets": buckets}
    )
    with sandbox.start_sandbox(world) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(aws: sandbox.Sandbox, clock: Clock) -> Sessions:
    return Sessions(identity_of(aws), session_name="tests", clock=clock)


def test_64_threads_over_8_roles_and_a_hub_make_9_calls(
    aws: sandbox.Sandbox, sessions: Sessions
) -> None:
    def assume(number: int) -> None:
        sessions.assume(SPOKES[number % 8])

    def read(number: int) -> bool:
        role = SPOKES[number % 8]
        # each role may read its own bucket only, so a request signed by a wrong one is refused
        sessions.client(role, "s3").get_object(Bucket=f"bucket{number % 8}", Key="a")["Body"].read()
        arn: str = sessions.client(role, "sts").get_caller_identity()["Arn"]
        return arn.split("/")[1] == role.name

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(assume, range(64)))
        # looked at now: the emulator gives its last 50 records only
        assert sum(aws.assume_role_count().values()) == 9
        assert all(pool.map(read, range(64)))
    assert sum(map(sessions.count_assume_calls, [HUB, *SPOKES])) == 9


def test_a_role_may_not_read_the_bucket_of_another(sessions: Sessions) -> None:
    with pytest.raises(StepError) as raised:
        BotoEngine(sessions.client(SPOKES[0], "s3"), SPOKES[0], str).read(
            S3Uri("bucket1", "a"), 100
        )
    assert "arn:aws:s3:::bucket1/a" in raised.value.message


def test_32_threads_that_meet_a_refusal_make_one_call_and_hold_it(
    sessions: Sessions, clock: Clock
) -> None:
    def work(_: int) -> RoleRefused:
        with pytest.raises(RoleRefused) as raised:
            sessions.assume(DENIED)
        return raised.value

    with ThreadPoolExecutor(32) as pool:
        refusals = list(pool.map(work, range(32)))
    assert sessions.count_assume_calls(DENIED) == 1
    assert len(set(map(id, refusals))) == 32
    assert DENIED.arn in refusals[0].hint
    clock.ahead += 6
    work(0)
    assert sessions.count_assume_calls(DENIED) == 2


def test_a_refused_hub_is_told_once_and_its_spokes_as_reached_through_it(
    aws: sandbox.Sandbox, sessions: Sessions
) -> None:
    aws.client("iam", ACCOUNT).update_assume_role_policy(
        RoleName="hub",
        PolicyDocument=policy_document(make_trust_policy(DENIED.arn)),
    )
    refusals = []
    for role in [HUB, *SPOKES[:2]]:
        with pytest.raises(RoleRefused) as raised:
            sessions.assume(role)
        refusals.append(raised.value)
    assert [each.through for each in refusals] == ["", "hub", "hub"]
    from rolerunner.cli.refusals import format_refusals

    text = format_refusals(RolesRefused(refusals))
    assert text.count('"Resource"') == 1
    assert "reached through 'hub'" in text


def test_a_session_of_15_minutes_makes_one_call(sessions: Sessions) -> None:
    client = sessions.client(SPOKES[0], "s3")
    for _ in range(100):
        client.list_objects_v2(Bucket="bucket0")
    assert sessions.count_assume_calls(SPOKES[0]) == 1


def test_renewed_in_the_middle_of_an_upload_of_300_parts(
    aws: sandbox.Sandbox, sessions: Sessions, clock: Clock
) -> None:
    client = sessions.client(SPOKES[0], "s3")
    place = {"Bucket": "bucket0", "Key": "large"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    parts = []
    for number in range(1, 301):
        if number == 150:
            clock.ahead += 901  # past the end of hub and spoke
        # the emulator, like S3, takes parts of less than 5 MiB until they are put together
        parts.append(
            {
                "PartNumber": number,
                "ETag": client.upload_part(**place, UploadId=upload, PartNumber=number, Body=b"x")[
                    "ETag"
                ],
            }
        )
    assert len(parts) == 300
    assert (sessions.count_assume_calls(HUB), sessions.count_assume_calls(SPOKES[0])) == (2, 2)
    client.abort_multipart_upload(**place, UploadId=upload)


def test_an_early_renewal_that_fails_is_logged_once_and_tried_again(
    aws: sandbox.Sandbox, sessions: Sessions, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client = sessions.client(HUB, "sts")
    client.get_caller_identity()
    iam = aws.client("iam", ACCOUNT)
    iam.update_assume_role_policy(
        RoleName="hub",
        PolicyDocument=policy_document(make_trust_policy(DENIED.arn)),
    )
    clock.ahead += 700  # of 900: in the last 30 %
    with caplog.at_level(logging.WARNING, "rolerunner"):
        for _ in range(10):
            client.get_caller_identity()
        clock.ahead += 31
        client.get_caller_identity()
    assert sessions.count_assume_calls(HUB) == 3
    assert len(caplog.records) == 1
    iam.update_assume_role_policy(
        RoleName="hub",
        PolicyDocument=policy_document(make_trust_policy(JOB_ARN)),
    )
    clock.ahead += 31
    client.get_caller_identity()
    client.get_caller_identity()
    assert sessions.count_assume_calls(HUB) == 4


def test_the_jobs_own_role_is_not_assumed(aws: sandbox.Sandbox, sessions: Sessions) -> None:
    own = Role(JOB_ARN, "own")
    assert sessions.client(own, "s3") is sessions.client(JOB, "s3")
    assert (
        sessions.client(own, "sts").get_caller_identity()["Arn"].endswith("/GlueJobRunnerSession")
    )
    assert aws.assume_role_count() == {}


def test_a_pin_on_another_account_is_refused(sessions: Sessions) -> None:
    with pytest.raises(RoleRefused) as raised:
        sessions.assume(Role(HUB_ARN, "hub", account="999999999999"))
    assert raised.value.type == "WrongAccount"


def test_equal_roles_share_clients_and_different_ones_do_not(sessions: Sessions) -> None:
    tagged = [
        Role(HUB_ARN, tags=tags) for tags in [(("a", "1"), ("b", "2")), (("b", "2"), ("a", "1"))]
    ]
    assert sessions.client(tagged[0], "s3") is sessions.client(tagged[1], "s3")
    assert sessions.client(HUB, "s3") is not sessions.client(Role(HUB_ARN, external_id="x"), "s3")


def test_head_of_what_may_not_be_read_gives_the_reason_and_of_an_empty_object_its_size(
    sessions: Sessions,
) -> None:
    storage = BotoEngine(sessions.client(SPOKES[0], "s3"), SPOKES[0], str)
    assert storage.head(S3Uri("bucket0", "none")).size == 0
    with pytest.raises(NotFound):
        storage.head(S3Uri("bucket0", "missing"))
    with pytest.raises(StepError) as raised:
        storage.head(S3Uri("bucket1", "a"))
    assert raised.value.type == "AccessDenied"
    assert "no identity-based policy" in raised.value.message


def test_nothing_of_a_credential_is_shown_or_pickled(
    aws: sandbox.Sandbox, sessions: Sessions
) -> None:
    sessions.assume(HUB)
    session = sessions.session(HUB)
    credentials = session.get_credentials()
    frozen = credentials.get_frozen_credentials()
    secrets = [str(each) for each in (frozen.access_key, frozen.secret_key, frozen.token)]
    shown = repr(
        [
            session,
            credentials,
            frozen,
            frozen._asdict(),
            sessions,
            vars(credentials),
            identity_of(aws),
        ]
    )
    assert not [each for each in secrets if each in shown]
    for value in (session, credentials, frozen, sessions, identity_of(aws)):
        with pytest.raises(
            (TypeError, AttributeError)
        ):  # a boto3 session holds closures, which come first
            pickle.dumps(value)
    from rolerunner.redaction.redact import redact

    assert not [
        each
        for each in secrets
        if each in str(redact({"a": [" ".join(secrets)], "b": ValueError(secrets[1])}))
    ]


def test_a_role_goes_by_the_name_that_its_own_run_gives_it(aws: sandbox.Sandbox) -> None:
    for name in ("first", "second"):
        with pytest.raises(RoleRefused, match=f"the role '{name}' could not be assumed"):
            Sessions(identity_of(aws)).assume(Role(DENIED.arn, name=name))


def test_a_process_that_was_forked_is_lent_sessions_and_asks_sts_for_none(
    aws: sandbox.Sandbox, sessions: Sessions, clock: Clock
) -> None:
    forked = Sessions(identity_of(aws), session_name="tests", clock=clock)
    forked.borrow_from(sessions.export_lease)
    role = SPOKES[0]

    def read() -> str:
        forked.client(role, "s3").get_object(Bucket="bucket0", Key="a")["Body"].read()
        return str(forked.get_credentials(role).get_frozen_credentials().token)

    first = read()
    assert first == sessions.get_credentials(role).get_frozen_credentials().token
    assert (
        forked.session_arn(role),
        forked.count_assume_calls(role),
        sessions.count_assume_calls(role),
    ) == (
        sessions.session_arn(role),
        0,
        1,
    )
    clock.ahead = 70
    assert forked.get_credentials(role).invalidate(None), "S3 said that it has expired"
    second = read()
    assert second != first
    assert (second, sessions.count_assume_calls(role)) == (
        sessions.get_credentials(role).get_frozen_credentials().token,
        2,
    )
    clock.ahead = 1000
    assert read() not in (first, second), "and when its time is over"
    assert sum(aws.assume_role_count().values()) == 3 + sessions.count_assume_calls(HUB)
    with pytest.raises(RoleRefused, match="denied"):
        forked.get_credentials(DENIED).get_frozen_credentials()
    lent = sessions.export_lease(role)
    assert not any(text in repr(lent) for text in (lent.access_key, lent.secret_key, lent.token))
