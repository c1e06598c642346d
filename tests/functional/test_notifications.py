"""Runs that tell topics, event buses, queues and webhooks how they ended."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RolesRefused
from rolerunner.events import Note, RunFinished
from rolerunner.model import RunLocation
from rolerunner.notifications import delivery
from tests.conftest import identity_of
from tests.webhook_server import SECRET, Webhooks, serve_webhooks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rolerunner.events import Event
    from rolerunner.model import RunResult
    from rolerunner.sandbox import Sandbox

TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"
CLOSED = "arn:aws:sns:eu-west-1:111122223333:closed"
ORDERED = "arn:aws:sns:us-east-1:111122223333:ordered.fifo"
QUEUE = "arn:aws:sqs:eu-west-1:222233334444:alerts"
BUS = "arn:aws:events:eu-west-1:111122223333:event-bus/jobs"
DEFAULT_BUS = "arn:aws:events:eu-west-1:111122223333:event-bus/default"
WORLD = f"""
version: 1
job_role: arn:aws:iam::111122223333:role/job
roles:
  - arn: arn:aws:iam::111122223333:role/job
    permissions:
      - {{Effect: Allow, Action: sts:AssumeRole, Resource: "arn:aws:iam::222233334444:role/*"}}
      - {{Effect: Allow, Action: sns:Publish, Resource: ["{TOPIC}", "{ORDERED}"]}}
      - {{Effect: Allow, Action: events:PutEvents, Resource: ["{DEFAULT_BUS}", "{BUS}"]}}
      - {{Effect: Allow, Action: s3:ListBucket, Resource: "arn:aws:s3:::landing"}}
  - arn: arn:aws:iam::222233334444:role/teller
    trust: [{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::111122223333:root"}},
              Action: sts:AssumeRole}}]
    permissions:
      - {{Effect: Allow, Action: sqs:SendMessage, Resource: "{QUEUE}"}}
buckets: [{{name: landing, account: "111122223333",
           objects: [{{key: in/a.csv, text: a}}]}}]
topics:
  - {{arn: "{TOPIC}"}}
  - {{arn: "{CLOSED}"}}
  - {{arn: "{ORDERED}"}}
queues: [{{arn: "{QUEUE}"}}]
event_buses: [{{arn: "{BUS}"}}]
"""
SPEC = """
version: 1
name: nightly
params:
  url: {type: string, secret: true, default: "https://hooks.example/none"}
  prefix: {default: in/}
roles:
  teller: arn:aws:iam::222233334444:role/teller
  nobody: arn:aws:iam::222233334444:role/nobody
notify:
  NOTIFY
steps:
  - {id: find, action: s3.list, role: ROLE, source: "s3://landing/${{ params.prefix }}"}
"""


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)

    def notify(self, event: Event) -> None:
        self.events.append(event)

    @property
    def notes(self) -> list[Note]:
        return [each for each in self.events if isinstance(each, Note)]

    def told(self) -> list[str]:
        return [each.values["target"] for each in self.notes if each.message == delivery.NOTIFIED]

    def failed(self) -> list[Note]:
        return [each for each in self.notes if each.message == delivery.NOT_NOTIFIED]

    @property
    def result(self) -> RunResult:
        return next(each.result for each in self.events if isinstance(each, RunFinished))


@pytest.fixture(scope="module")
def webhooks() -> Iterator[Webhooks]:
    with serve_webhooks() as running:
        yield running


def run(
    tmp_path: Path,
    aws: Sandbox,
    *notify: str,
    role: str = "job",
    only: Sequence[str] = (),
    **params: Any,
) -> Recorder:
    lines = "\n".join(f"  - {each}" for each in notify).lstrip()
    spec = tmp_path / "nightly.yaml"
    spec.write_text(SPEC.replace("NOTIFY", lines).replace("ROLE", role))
    job = api.load(spec, params)
    recorder = Recorder()
    with contextlib.suppress(RolesRefused):
        api.run(
            job,
            identity=identity_of(aws),
            observers=[recorder],
            location=RunLocation("s3://ops/results/r.json"),
            only=only,
        )
    return recorder


def messages(aws: Sandbox, target: str) -> list[Any]:
    return [each for each in aws.messages() if each.target == target]


def test_each_kind_of_target_is_told_of_a_failed_step(
    aws: Sandbox, tmp_path: Path, webhooks: Webhooks
) -> None:
    before = len(aws.messages())
    ended = run(
        tmp_path, aws,
        f'{{on: [failed, refused], sns: "{TOPIC}", role: job}}',
        "{on: [failed, succeeded], event: default, role: job}",
        f'{{on: failed, event: "{BUS}", role: job}}',
        f'{{on: failed, sqs: "{QUEUE}", role: teller}}',
        '{on: failed, webhook: "${{ params.url }}"}',
        f'{{on: succeeded, sns: "{TOPIC}", role: job}}',
        f'{{on: failed, sns: "{ORDERED}", role: job}}',
        prefix="nothing/", url=webhooks.url("ok"),
    )  # fmt: skip
    assert ended.failed() == []
    assert len(ended.told()) == 6
    new = aws.messages()[before:]
    by_target = {each.target: each for each in new}
    assert len(new) == 5 == len(by_target)
    topic, event = by_target[TOPIC], json.loads(by_target[DEFAULT_BUS].text)
    assert topic.subject == "rolerunner: nightly failed at step find"
    assert "EmptySource: " in topic.text
    assert "Result: s3://ops/results/r.json" in topic.text
    assert event["step"] == "find"
    assert event["role"] == "job"
    assert (event["job"], event["status"], event["event"]) == ("nightly", "failed", "failed")
    assert event["run_id"] == ended.result.run_id
    assert event["reason"]
    assert json.loads(by_target[BUS].text) == event
    assert json.loads(by_target[QUEUE].text) == event
    post = webhooks.posts("ok")[-1]
    assert post["text"] == "nightly failed at step find"
    assert "EmptySource" in json.dumps(post["attachments"][0]["content"])


def test_a_success_is_told_to_those_who_want_it(aws: Sandbox, tmp_path: Path) -> None:
    ended = run(
        tmp_path, aws,
        "{on: [failed, succeeded], event: default, role: job}",
        f'{{on: [failed, warning, stopped, invalid, refused], sns: "{TOPIC}", role: job}}',
    )  # fmt: skip
    assert ended.told() == ["event default"]
    assert json.loads(messages(aws, DEFAULT_BUS)[-1].text)["status"] == "succeeded"


def test_a_partial_run_tells_the_steps_that_were_selected(aws: Sandbox, tmp_path: Path) -> None:
    targets = [
        "{on: succeeded, event: default, role: job}",
        f'{{on: succeeded, sns: "{TOPIC}", role: job}}',
    ]
    ended = run(tmp_path, aws, *targets, only=["find"])
    assert ended.result.selected == ("find",)
    event = json.loads(messages(aws, DEFAULT_BUS)[-1].text)
    assert (event["partial"], event["selected"]) == (True, ["find"])
    assert messages(aws, TOPIC)[-1].subject == "rolerunner: nightly succeeded (partial run)"


def test_a_refused_role_is_told_by_another_one(aws: Sandbox, tmp_path: Path) -> None:
    ended = run(
        tmp_path, aws,
        f'{{on: refused, sns: "{TOPIC}", role: job}}',
        f'{{on: failed, sqs: "{QUEUE}", role: nobody}}',
        role="nobody",
    )  # fmt: skip
    assert ended.told() == [f"sns {TOPIC}"]
    (failed,) = ended.failed()
    assert failed.values["target"] == f"sqs {QUEUE}"
    assert failed.values["type"] == "RoleRefused"
    text = messages(aws, TOPIC)[-1].text
    assert "nightly was refused a role" in text
    assert "Role: nobody" in text
    assert "sts:AssumeRole" in text


def test_a_run_goes_on_without_a_role_that_only_tells(aws: Sandbox, tmp_path: Path) -> None:
    ended = run(tmp_path, aws, f'{{on: succeeded, sqs: "{QUEUE}", role: nobody}}')
    assert ended.result.status == "succeeded"
    assert [each.values["type"] for each in ended.failed()] == ["RoleRefused"]


def test_a_target_that_denies_is_a_warning_with_the_statement(aws: Sandbox, tmp_path: Path) -> None:
    ended = run(tmp_path, aws, f'{{on: succeeded, sns: "{CLOSED}", role: job}}')
    assert ended.result.status == "succeeded"
    (failed,) = ended.failed()
    assert failed.values["type"] == "AccessDenied"
    assert "sns:Publish" in failed.values["hint"]
    assert CLOSED in failed.values["hint"]


def test_a_stopped_run_is_told(aws: Sandbox, tmp_path: Path) -> None:
    spec = tmp_path / "nightly.yaml"
    spec.write_text(
        SPEC.replace("NOTIFY", f'- {{on: stopped, sns: "{TOPIC}", role: job}}').replace(
            "ROLE", "job"
        )
    )
    cancel, recorder = Cancel(), Recorder()
    cancel.set()
    api.run(api.load(spec), identity=identity_of(aws), observers=[recorder], cancel=cancel)
    assert recorder.result.status == "stopped"
    assert recorder.told() == [f"sns {TOPIC}"]


@pytest.mark.parametrize(
    ("behaviour", "type_", "reason"),
    [
        ("hang", "Timeout", "no answer within"),
        ("drip", "Timeout", "no answer within"),
        ("refuse", "403", "it answered 403: invalid_token"),
        ("redirect", "Redirect", "307"),
        ("huge", "500", "it answered 500: xxx"),
        ("garbage", "ConnectionClosedError", "no valid answer"),
    ],
)
def test_a_webhook_that_fails_is_a_warning(
    aws: Sandbox,
    tmp_path: Path,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    type_: str,
    reason: str,
) -> None:
    monkeypatch.setattr(delivery, "SECONDS", 1.0)
    before, began = len(webhooks.posts("ok")), time.monotonic()
    ended = run(
        tmp_path, aws,
        '{on: succeeded, webhook: "${{ params.url }}"}',
        f'{{on: succeeded, sns: "{TOPIC}", role: job}}',
        url=webhooks.url(behaviour),
    )  # fmt: skip
    assert time.monotonic() - began < 5
    assert ended.told() == [f"sns {TOPIC}"]
    (failed,) = ended.failed()
    assert failed.values["target"] == "webhook notify[0]"
    assert reason in failed.values["error"], failed
    assert failed.values["type"] == type_
    assert SECRET not in str(ended.notes)
    assert webhooks.posts("ok")[before:] == []
    assert len([name for name, _ in webhooks.received if name == behaviour]) == 1


def test_a_webhook_that_is_busy_is_asked_again(
    aws: Sandbox, tmp_path: Path, webhooks: Webhooks
) -> None:
    ended = run(
        tmp_path, aws, '{on: succeeded, webhook: "${{ params.url }}"}',
        url=webhooks.url("busy_once"),
    )  # fmt: skip
    assert ended.failed() == []
    assert len(webhooks.posts("busy_once")) == 2
