"""Test files that expect messages of topics, queues and event buses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner.errors import SpecError
from rolerunner.spec_testing.load import load_cases
from rolerunner.spec_testing.run import run_case

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.spec_testing.mismatches import Mismatch

TOPIC = "arn:aws:sns:eu-west-1:333344445555:ops"  # of another account than its sender
SPEC = f"""
version: 1
name: nightly
roles:
  reader: arn:aws:iam::222233334444:role/reader
  teller: {{arn: arn:aws:iam::444455556666:role/teller, session_policy: auto-per-step}}
notify:
  - {{on: [failed, refused], sns: "{TOPIC}", role: reader}}
  - {{on: [succeeded, failed], event: default, role: job}}
  - {{on: succeeded, event: jobs, role: teller}}
  - {{on: succeeded, sqs: "arn:aws:sqs:us-east-1:111122223333:done", role: teller}}
steps:
  - {{id: find, action: s3.list, role: reader, source: s3://landing/in/}}
"""
CASES = """
version: 1
cases:
  - name: a good night
    expect:
      secrets: never shown
      messages:
        topics: {ops: []}
        queues: {done: ['"status":"succeeded"']}
        event_buses:
          default: ['rolerunner: Job Run Finished*"job":"nightly"']
          jobs: ['"event":"succeeded"']
  - name: a refused request
    given: {deny: [{role: reader, actions: ["s3:ListBucket"]}]}
    expect:
      status: failed
      messages:
        log: [notified]
        topics: {TOPIC: ["rolerunner: nightly failed at step find*s3:ListBucket*Role: reader"]}
        queues: {done: []}
  - name: wrong expectations
    given: {deny: [{role: reader, actions: ["s3:ListBucket"]}]}
    expect:
      status: failed
      messages:
        topics: {ops: []}
        queues: {done: [succeeded]}
        event_buses: {default: [failed, failed]}
""".replace("TOPIC", f'"{TOPIC}"')


def run_cases(tmp_path: Path) -> dict[str, tuple[Mismatch, ...]]:
    (tmp_path / "nightly.yaml").write_text(SPEC)
    path = tmp_path / "nightly.test.yaml"
    path.write_text(CASES)
    results = [run_case(case) for case in load_cases([path], tmp_path / "runs")]
    return {result.case.fields.name: result.mismatches for result in results}


def test_messages_are_compared_with_those_expected(tmp_path: Path) -> None:
    found = run_cases(tmp_path)
    assert found["a good night"] == ()
    assert found["a refused request"] == ()
    wrong = {each.what: (each.expected, each.seen) for each in found["wrong expectations"]}
    assert set(wrong) == {
        "messages.topics.ops",
        "messages.queues.done",
        "messages.event_buses.default",
    }
    assert wrong["messages.topics.ops"][0] == "no other message"
    assert "nightly failed" in wrong["messages.topics.ops"][1]
    assert wrong["messages.queues.done"] == ('["succeeded"]', "no other message")
    assert wrong["messages.event_buses.default"] == ('["failed"]', "no other message")


def test_unknown_targets_are_mistakes_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(SPEC)
    path = tmp_path / "nightly.test.yaml"
    path.write_text(
        "version: 1\ncases:\n  - name: a\n    expect:\n      messages:\n"
        "        topics: {opps: []}\n        event_buses: {default: [], job: []}\n"
    )
    with pytest.raises(SpecError) as raised:
        load_cases([path], tmp_path / "runs")
    assert [(each.mark.line, each.message, each.hint) for each in raised.value.problems] == [
        (6, "there is no topic 'opps'", "did you mean 'ops'?"),
        (7, "there is no event bus 'job'", "did you mean 'jobs'?"),
    ]
