"""Fetching secret params: requests, values, and failures that show no value."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RoleRefused, StepError
from rolerunner.events import Note
from rolerunner.model import JOB, PlannedSecret, Role, SecretSource, TextRules
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import MASK, Secret, register_secret
from rolerunner.run import secret_params
from rolerunner.run.environment import RunEnvironment
from rolerunner.run.secret_params import (
    FetchedSecrets,
    _describe,
    _find_region,
    fetch_secrets,
    read_value,
)
from rolerunner.sessions import throttling

OPS = Role("arn:aws:iam::111122223333:role/ops", "ops")
VALUE = "Kettle-4711-blue"


class FakeSessions:
    """Answers requests for secrets; raises what the test names."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.requests: list[tuple[str, str, str, Any]] = []

    def client(self, role: Role, service: str, *, region: str = "", config: Any = None) -> Any:
        assert (config.connect_timeout, config.read_timeout) == (5, 10)
        assert config.retries == {"mode": "standard", "max_attempts": 3}
        return FakeClient(self, (str(role), service, region))

    def session_arn(self, role: Role) -> str:
        return f"session of {role}"

    def require_region(self) -> str:
        return "eu-west-1"


class FakeClient:
    """A client of Secrets Manager and Systems Manager."""

    def __init__(self, sessions: FakeSessions, place: tuple[str, str, str]) -> None:
        self._sessions = sessions
        self._place = place

    def _answer(self, parameters: Any) -> Any:
        self._sessions.requests.append((*self._place, parameters))
        answer = self._sessions.answer
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else dict(answer)

    def get_secret_value(self, **parameters: Any) -> Any:
        return self._answer(parameters)

    def get_parameter(self, **parameters: Any) -> Any:
        return {"Parameter": self._answer(parameters)}


def secret(
    param: str, name: str = "x", key: Optional[str] = None, service: Any = "secretsmanager"
) -> PlannedSecret:
    return PlannedSecret(SecretSource(param, service, name, key, OPS), ())


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetSecretValue")


def fetch(
    answer: Any, *secrets: PlannedSecret, refused: tuple[str, ...] = (), cancel: Any = None
) -> tuple[FetchedSecrets, FakeSessions, list[Any]]:
    sessions = FakeSessions(answer)
    events: list[Any] = []
    unused: Any = None
    environment = RunEnvironment(
        {},
        sessions,  # type: ignore[arg-type]
        unused,
        Path(),
        Path(),
        cancel=cancel or Cancel(),
    )
    return fetch_secrets(secrets, environment, events.append, refused), sessions, events


def test_params_of_one_secret_share_a_request() -> None:
    text = f'{{"a": "{VALUE}", "b": 12.50}}'
    found, sessions, events = fetch(
        {"SecretString": text}, secret("one", key="a"), secret("two", key="b"), secret("all")
    )
    assert found.values == {"one": VALUE, "two": "12.50", "all": text}
    assert all(isinstance(value, Secret) for value in found.values.values())
    assert sessions.requests == [("ops", "secretsmanager", "", {"SecretId": "x"})]
    assert [event.values["param"] for event in events] == ["one", "two", "all"]
    assert VALUE not in str(events)
    assert redact_text(f"login with {VALUE}") == f"login with {MASK}"


def test_a_parameter_is_decrypted_in_the_region_of_its_arn() -> None:
    arn = "arn:aws:ssm:us-east-1:111122223333:parameter/a"
    found, sessions, _ = fetch({"Value": VALUE}, secret("x", arn, service="ssm"))
    assert found.values == {"x": VALUE}
    assert sessions.requests == [("ops", "ssm", "us-east-1", {"Name": arn, "WithDecryption": True})]


def test_secrets_of_refused_roles_are_left_out() -> None:
    found, sessions, _ = fetch({"SecretString": VALUE}, secret("x"), refused=("ops",))
    assert (found, sessions.requests) == (FetchedSecrets(), [])


def test_a_role_that_is_refused_now_is_a_refusal() -> None:
    found, _, _ = fetch(RoleRefused("no", role="ops"), secret("x"), secret("y", "other"))
    assert list(found.refusals) == ["ops"]
    assert found.failures == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            ClientError(
                {
                    "Error": {
                        "Code": "AccessDeniedException",
                        "Message": "Access to KMS is not allowed",
                    }
                },
                "GetSecretValue",
            ),
            "AccessDenied",
        ),
        (
            ClientError({"Error": {"Code": "DecryptionFailure"}}, "GetSecretValue"),
            "DecryptionFailure",
        ),
        (ConnectTimeoutError(endpoint_url="https://x"), "ConnectTimeoutError"),
        (KeyError("Value"), "KeyError"),
    ],
)
def test_each_failure_names_its_param(error: Exception, kind: str) -> None:
    found, _, _ = fetch(error, secret("x"), secret("y", "other"))
    assert [failure.type for failure in found.failures] == [kind, kind]
    assert found.failures[0].message.startswith("the param 'x' (secretsmanager:x): ")
    if kind == "AccessDenied":
        assert "kms:Decrypt" in found.failures[0].message


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"SecretBinary": VALUE.encode()}, "the secret is binary"),
        ({"SecretString": ""}, "the value is empty"),
        ({"SecretString": 5}, "the response has no text"),
    ],
)
def test_an_answer_without_text_is_refused(answer: Any, message: str) -> None:
    found, _, events = fetch(answer, secret("x"))
    (failure,) = found.failures
    assert message in failure.message
    assert failure.hint.startswith("store it as text" if "binary" in message else "")
    assert (found.values, events) == ({}, [])


def test_an_unreachable_service_says_which_endpoint_a_vpc_needs() -> None:
    found, _, _ = fetch(EndpointConnectionError(endpoint_url="https://x"), secret("x"))
    assert "com.amazonaws.eu-west-1.secretsmanager" in found.failures[0].hint
    found, _, _ = fetch(ConnectionClosedError(endpoint_url="https://x"), secret("x"))
    assert found.failures[0].hint == ""


@pytest.mark.parametrize(
    ("code", "name", "service", "message", "hint"),
    [
        ("ResourceNotFoundException", "x", "secretsmanager",
         "there is no such secret in eu-west-1, in the account of the role 'ops'",
         "a secret of another region or account is named by its whole ARN"),
        ("ParameterNotFound", "x", "ssm",
         "there is no such parameter in eu-west-1, in the account of the role 'ops'",
         "a parameter of another region or account is named by its whole ARN"),
        ("ParameterVersionNotFound", "x:7", "ssm", "the parameter has no such version",
         "a parameter of another region or account is named by its whole ARN"),
        ("ParameterNotFound", "arn:aws:ssm:us-east-1:111122223333:parameter/a", "ssm",
         "there is no such parameter", ""),
    ],
)  # fmt: skip
def test_a_secret_that_does_not_exist_is_told_with_its_place(
    code: str, name: str, service: str, message: str, hint: str
) -> None:
    found, _, _ = fetch(refusal(code), secret("x", name, service=service))
    (failure,) = found.failures
    assert failure.message.endswith(f": {message}")
    assert (failure.hint, failure.type) == (hint, code)


def test_a_region_is_that_of_the_secret_its_role_or_the_job() -> None:
    sessions: Any = FakeSessions({})
    arn = "arn:aws:ssm:us-east-1:111122223333:parameter/a"
    there = replace(OPS, region="eu-central-1")
    sources = [SecretSource("x", "ssm", name, None, there) for name in (arn, "/a")]
    assert [_find_region(each, sessions) for each in sources] == ["us-east-1", "eu-central-1"]
    assert _describe(JOB) == "the job"


def test_the_end_of_a_request_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 101.23456])
    monkeypatch.setattr(secret_params, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    _, _, (event,) = fetch({"SecretString": VALUE}, secret("x", key=None))
    values = {"param": "x", "from": "secretsmanager:x", "role": "ops", "seconds": 1.235}
    assert event == Note("", "info", "secret_fetched", values)


def test_throttling_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "FIRST_DELAY_SECONDS", 0.01)
    answers = iter([refusal("ThrottlingException"), {"SecretString": VALUE}])

    def answer() -> Any:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    found, sessions, _ = fetch(answer, secret("x"))
    assert (found.values, len(sessions.requests)) == ({"x": VALUE}, 2)


def test_a_stopped_run_abandons_its_requests() -> None:
    cancel, release = Cancel(), threading.Event()

    def hang() -> Any:
        cancel.set()
        release.wait(30)
        return {"SecretString": VALUE}

    try:
        found, _, _ = fetch(hang, secret("x"), cancel=cancel)
        assert found.values == {}
    finally:
        release.set()


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        (VALUE, "k", "the secret is not a JSON object, so it has no key 'k'"),
        (f'["{VALUE}"]', "k", "the secret is not a JSON object"),
        ("{" * 2000 + VALUE, "k", "the secret is not a JSON object"),
        (f'{{"other": "{VALUE}"}}', "k", "the secret has no key 'k'"),
        (f'{{"k": {{"x": "{VALUE}"}}}}', "k", "the value of the key 'k' is a mapping, not text"),
        (f'{{"k": ["{VALUE}"]}}', "k", "is a list, not text"),
        ('{"k": null}', "k", "is null, not text"),
        ('{"k": false}', "k", "is true or false, not text"),
        ('{"k": ""}', "k", "the value is empty"),
        (" \n", None, "the value is blank"),
    ],
)
def test_a_value_that_cannot_be_the_params_is_not_shown(
    text: str, key: Optional[str], message: str
) -> None:
    source = SecretSource("x", "ssm", "n", key, JOB)
    with pytest.raises(StepError) as caught:
        read_value(source, register_secret(text))
    assert caught.value.type == "InvalidSecret"
    assert message in caught.value.message
    hints = {"the secret is not": "store it as a JSON object", "the secret has no": "compare the"}
    assert caught.value.hint.startswith(hints.get(message[:17], ""))
    assert VALUE not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "rules",
    [TextRules(min=99), TextRules(max=3), TextRules(pattern="[0-9]+"), TextRules(choices=("a",))],
)
def test_a_value_against_the_rules_is_not_shown(rules: TextRules) -> None:
    source = SecretSource("x", "ssm", "n", None, JOB, rules=rules)
    with pytest.raises(StepError) as caught:
        read_value(source, register_secret(VALUE))
    assert VALUE[:4] not in caught.value.message + caught.value.hint
    assert caught.value.message == "the value does not fit the declaration of the param"
    assert caught.value.hint.startswith("compare it with min, max, pattern and choices")


def test_the_other_keys_of_json_with_names_of_secrets_are_redacted() -> None:
    found, _, _ = fetch(
        {"SecretString": f'{{"k": "first-{VALUE}", "password": "second-{VALUE}", "user": "ada"}}'},
        secret("x", key="k"),
    )
    assert found.values == {"x": f"first-{VALUE}"}
    assert redact_text(f"second-{VALUE} of ada") == f"{MASK} of ada"
