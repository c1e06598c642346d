"""The ``notify`` section: its mistakes with their places, and what it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from rolerunner.spec.loader import load_notify_section

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.model import Job

TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"
HEAD = """version: 1
name: nightly
params: {url: {secret: true}, open: {default: "https://x.example/"}, stage: {required: true}}
roles: {teller: "arn:aws:iam::222233334444:role/teller"}
notify:
  - ONE
steps: [{id: a, action: s3.list, role: job, source: s3://landing/}]
"""


def load(tmp_path: Path, one: str, **params: str) -> Job:
    path = tmp_path / "spec.yaml"
    path.write_text(HEAD.replace("ONE", one))
    return api.load(path, params, complete=False)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ("failed", "a target must be a mapping with 'on', not 'failed'"),
        (f'{{sns: "{TOPIC}", role: job}}', "'on' is missing"),
        ("{on: failed}", "must have one of sns, event, sqs, webhook"),
        (f'{{on: failed, sns: "{TOPIC}", event: default, role: job}}', "not sns and event"),
        (f'{{on: failed, sns: "{TOPIC}"}}', "'sns' needs a 'role'"),
        (f'{{on: failed, sns: "{TOPIC}", role: tellr}}', "there is no role 'tellr'"),
        (f'{{on: crashed, sns: "{TOPIC}", role: job}}', "'on'"),
        (f'{{on: [], sns: "{TOPIC}", role: job}}', "'on'"),
        ("{on: failed, sns: ops, role: job}", "must be the ARN of an SNS topic, not 'ops'"),
        ("{on: failed, event: aws.partner, role: job}", "must be the name or the ARN of an event"),
        ("{on: failed, sqs: https://sqs/1/q, role: job}", "must be the ARN of an SQS queue"),
        ('{on: failed, webhook: "${{ params.url }}", role: job}', "'webhook' takes no 'role'"),
        ('{on: failed, webhook: "${{ params.open }}"}', "no param in it is"),
        ('{on: failed, webhook: "https://hooks.example/T0/s3cret"}', "cannot be in a spec"),
        ('{on: failed, sns: "${{ params.url }}", role: job}', "'params.url' is a secret"),
        ('{on: failed, event: default, role: job, key: "arn:aws:kms:a-b-1:111122223333:key/1"}',
         "'key' goes with 'sns' or 'sqs'"),
        (f'{{on: failed, sns: "{TOPIC}", role: job, key: alias/x}}', "the ARN of a KMS key"),
        ("{on: failed, event: default, role: job, rule_role: me}", "'me' is not a role ARN"),
        (f'{{on: failed, topic: "{TOPIC}", role: job}}', "unknown key 'topic'"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place(tmp_path: Path, one: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        load(tmp_path, one)
    problems = raised.value.problems
    assert any(message in str(each) for each in problems), problems
    assert {each.mark.line for each in problems} == {6}
    assert "s3cret" not in str([(str(each), each.line) for each in problems])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("hooks.example/T0", "must be a URL that begins with https://"),
        ("ftp://hooks.example/T0", "must be a URL that begins with https://"),
        ("http://hooks.example/T0/s3cret", "would be sent in plain text"),
        ("https://user:pass@hooks.example/T0", "a user name or a password"),
        ("https://hooks.example/T0 s3cret", "a blank or a control character"),
        ("https://hooks.example:port/T0/s3cret", "is not a URL"),
        ("https:///s3cret", "must be a URL"),
    ],
)
def test_a_wrong_url_of_a_secret_is_not_shown(tmp_path: Path, url: str, reason: str) -> None:
    with pytest.raises(SpecError) as raised:
        load(tmp_path, '{on: failed, webhook: "${{ params.url }}"}', url=url)
    assert reason in str(raised.value)
    assert url not in str(raised.value)


@pytest.mark.parametrize("url", ["https://hooks.example/T0/B0/x", "http://localhost:8080/x"])
def test_a_right_url_is_kept_as_an_expression(tmp_path: Path, url: str) -> None:
    (told,) = load(tmp_path, '{on: failed, webhook: "${{ params.url }}"}', url=url).notify
    assert (told.kind, str(told.target), told.label) == (
        "webhook", "${{ params.url }}", "webhook notify[0]"
    )  # fmt: skip


def test_params_fill_a_target_and_one_without_a_value_leaves_it_out(tmp_path: Path) -> None:
    one = f'{{on: [failed, failed, stopped], sns: "{TOPIC}-${{{{ params.stage }}}}", role: teller}}'
    (told,) = load(tmp_path, one, stage="dev").notify
    assert (told.target, told.on, str(told.role)) == (
        f"{TOPIC}-dev", ("failed", "stopped"), "teller"
    )  # fmt: skip
    job = load(tmp_path, one)
    assert (job.notify, job.undecided) == ((), ("notify",))


def test_the_section_of_a_wrong_spec_is_read_as_far_as_possible() -> None:
    text = HEAD.replace("ONE", f'{{on: invalid, sns: "{TOPIC}", role: teller}}\n  - nonsense')
    text = text.replace("s3.list", "s3.lst").replace("name: nightly", "name: [wrong]")
    job = load_notify_section(text, "spec.yaml", {"nothing": "x"}, lambda _: ("", ""))
    assert job is not None
    assert [told.target for told in job.notify] == [TOPIC]
    assert load_notify_section("{", "spec.yaml", {}, lambda _: ("", "")) is None
    assert load_notify_section("version: 2", "spec.yaml", {}, lambda _: ("", "")) is None


def test_an_environment_replaces_the_targets_and_has_its_own_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    text = HEAD.replace("ONE", f'{{on: failed, sns: "{TOPIC}", role: job}}') + (
        "environments:\n"
        "  dev: {notify: null}\n"
        "  prod:\n"
        "    notify:\n"
        "      - {on: [failed, stopped], event: default, role: teller}\n"
    )
    path.write_text(text)
    assert api.load(path, complete=False, env="dev").notify == ()
    (told,) = api.load(path, complete=False, env="prod").notify
    assert (told.kind, told.target) == ("event", "default")
    path.write_text(text.replace("role: teller}\n", "role: tellr}\n"))
    with pytest.raises(SpecError) as raised:
        api.load(path, complete=False, env="prod")
    assert [(each.mark.line, each.message) for each in raised.value.problems] == [
        (12, "there is no role 'tellr'")
    ]
