"""STS: throttling is waited out; malformed responses and sessions of other roles are refused."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from rolerunner import api
from rolerunner.errors import RolesRefused
from rolerunner.sessions import clients, throttling
from tests.memory_aws import STS_NAMESPACE, Response, error, xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Request, Store

ONE = """
version: 1
name: sts
roles: {reader: "arn:aws:iam::444455556666:role/team/reader"}
steps: [{id: read, action: s3.read, role: reader, source: "s3://bucket/a"}]
"""


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "FIRST_DELAY_SECONDS", 0.05)


def load(tmp_path: Path, spec: str) -> Any:
    (tmp_path / "spec.yaml").write_text(spec)
    return api.load(tmp_path / "spec.yaml")


def respond_to_assume_role(
    respond: Callable[[Request], Response],
) -> Callable[[Request], Response | None]:
    return lambda request: respond(request) if request.query.get("Action") == "AssumeRole" else None


def assumed(
    arn: str = "arn:aws:sts::444455556666:assumed-role/reader/x",
    expiration: str = "2099-01-01T00:00:00Z",
    without: str = "",
) -> Response:
    body = (
        "<Credentials><AccessKeyId>ASIAEXAMPLEEXAMPLE00</AccessKeyId>"
        "<SecretAccessKey>sssssssss</SecretAccessKey>"
        f"<SessionToken>ttttttttt</SessionToken><Expiration>{expiration}</Expiration></Credentials>"
        f"<AssumedRoleUser><Arn>{arn}</Arn><AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser>"
    )
    body = re.sub(f"<{without}>.*</{without}>", "", body) if without else body
    return xml(
        f"<AssumeRoleResponse xmlns='{STS_NAMESPACE}'>"
        f"<AssumeRoleResult>{body}</AssumeRoleResult></AssumeRoleResponse>"
    )


HTML = {"Content-Type": "text/html"}
ANSWERS = {
    "html 200": lambda _: Response(200, HTML, b"<html><body>Please log in<br></body></html>"),
    "html 403": lambda _: Response(403, HTML, b"<html><body>Please log in<br></body></html>"),
    "xhtml 200": lambda _: Response(200, HTML, b"<html><body>Please log in</body></html>"),
    "xhtml 403": lambda _: Response(403, HTML, b"<html><body>Please log in</body></html>"),
    "empty": lambda _: Response(200, HTML, b""),
    "json": lambda _: Response(200, {"Content-Type": "application/json"}, b'{"a": 1}'),
    "bytes": lambda _: Response(200, {}, b"\xff\xfe\0\0"),
    "redirect": lambda _: Response(302, {"Location": "https://login.example.com/"}, b""),
    "no credentials": lambda _: assumed(without="Credentials"),
    "no token": lambda _: assumed(without="SessionToken"),
    "no arn": lambda _: assumed(without="Arn"),
    "no user": lambda _: assumed(without="AssumedRoleUser"),
    "empty arn": lambda _: assumed(arn=""),
    "no such arn": lambda _: assumed(arn="me"),
    "expiration": lambda _: assumed(expiration="tomorrow"),
    "other role": lambda _: assumed(arn="arn:aws:sts::444455556666:assumed-role/writer/x"),
    "other account": lambda _: assumed(arn="arn:aws:sts::111122223333:assumed-role/reader/x"),
    "a user": lambda _: assumed(arn="arn:aws:iam::444455556666:user/reader"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_not_the_roles_session_is_a_refusal(
    name: str, tmp_path: Path, memory_aws: Store
) -> None:
    memory_aws.put("bucket", "a", "x")
    memory_aws.hook = respond_to_assume_role(ANSWERS[name])
    with pytest.raises(RolesRefused) as raised:
        api.run(load(tmp_path, ONE))
    (refusal,) = raised.value.refusals
    assert refusal.role == "reader"
    assert "reader" in refusal.message
    assert len(refusal.message) < 600
    assert not memory_aws.requests_of("GET")
    expected = {"other role": "WrongRole", "other account": "WrongAccount", "empty arn": "NoRole"}
    assert refusal.type == expected.get(name, refusal.type)


def test_a_server_without_roles_is_named_as_such(tmp_path: Path, memory_aws: Store) -> None:
    memory_aws.hook = respond_to_assume_role(lambda _: assumed(arn=""))
    with pytest.raises(RolesRefused) as raised:
        api.run(load(tmp_path, ONE))
    (refusal,) = raised.value.refusals
    assert refusal.message.startswith("STS returned a session without the ARN of a role")
    assert "use 'role: job' there" in refusal.hint


def test_a_path_of_the_role_is_no_other_role(tmp_path: Path, memory_aws: Store) -> None:
    memory_aws.put("bucket", "a", "x")
    memory_aws.hook = respond_to_assume_role(lambda _: assumed())
    assert api.run(load(tmp_path, ONE)).status == "succeeded"


@pytest.mark.parametrize("code", ["Throttling", "503"])
def test_throttling_of_fifty_roles_is_waited_out(
    code: str, tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        clients,
        "STS_CONFIG",
        clients.STS_CONFIG.merge(Config(retries={"mode": "standard", "max_attempts": 1})),
    )
    memory_aws.put("bucket", "a", "x")
    refused: dict[str, int] = {}
    lock = threading.Lock()

    def hook(request: Request) -> Response | None:
        role = request.query.get("RoleArn", "")
        with lock:
            refused[role] = refused.get(role, 0) + 1
            throttled = bool(role) and refused[role] <= 2
        if not throttled:
            return None
        return (
            error(503, "ServiceUnavailable")
            if code == "503"
            else xml(
                (
                    f"<ErrorResponse><Error><Code>{code}</Code><Message>slow</Message></Error>"
                    "</ErrorResponse>"
                ),
                400,
            )
        )

    memory_aws.hook = hook
    roles = "".join(
        f'  r{number}: "arn:aws:iam::444455556666:role/r{number}"\n' for number in range(50)
    )
    steps = "".join(
        f'  - {{id: s{number}, action: s3.read, role: r{number}, source: "s3://bucket/a"}}\n'
        for number in range(50)
    )
    completed = api.run(load(tmp_path, f"version: 1\nname: sts\nroles:\n{roles}steps:\n{steps}"))
    assert completed.status == "succeeded"
    assert len(memory_aws.assumed) == 50  # each role once, after its two throttled requests


def test_throttling_without_an_end_is_a_refusal(
    tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "MAX_WAIT_SECONDS", 0.5)
    memory_aws.hook = respond_to_assume_role(
        lambda _: xml(
            (
                "<ErrorResponse><Error><Code>Throttling</Code><Message>slow</Message></Error>"
                "</ErrorResponse>"
            ),
            400,
        )
    )
    with pytest.raises(RolesRefused) as raised:
        api.run(load(tmp_path, ONE))
    assert raised.value.refusals[0].type == "Throttling"


@pytest.mark.slow
def test_an_endpoint_that_cannot_be_reached_has_refused_nothing(
    tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    with pytest.raises(RolesRefused) as raised:
        api.run(load(tmp_path, ONE))
    assert raised.value.refusals[0].type == "StsUnreachable"
    assert raised.value.summary == "1 role could not be assumed, no step ran"
