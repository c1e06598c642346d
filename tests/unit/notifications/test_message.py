"""Messages: what they say, their limits, and that they show no secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rolerunner.model import Failure, ItemResult, RunLocation, RunResult, StepResult
from rolerunner.notifications.message import (
    MAX_POST,
    SUBJECT_LENGTH,
    Message,
    describe_run,
    list_events,
    render_json,
    render_post,
)
from rolerunner.redaction.secrets import register_secret

ERROR = Failure("AccessDenied", "denied", "grant it")


def step(
    name: str, status: Any = "failed", error: Failure | None = ERROR, **more: Any
) -> StepResult:
    return StepResult(name, "s3.list", "reader", status, error=error, **more)


def result(*steps: StepResult, status: Any = "failed", **more: Any) -> RunResult:
    return RunResult("r1", "nightly", status, "2026-01-31T02:00:00Z", 3.0, (), steps, **more)


def describe(ended: RunResult, **more: Any) -> Message:
    return describe_run(ended, RunLocation("s3://ops/r.json", "job", "jr_1"), **more)


def test_a_message_names_the_first_step_that_failed() -> None:
    warned = step("early", "warning", Failure("Empty", "nothing"))
    message = describe(result(step("ok", "succeeded", None), warned, step("fetch"), step("later")))
    assert (message.step, message.role, message.type, message.reason, message.hint) == (
        "fetch", "reader", "AccessDenied", "denied", "grant it"
    )  # fmt: skip
    assert message.text.startswith("nightly failed at step fetch\n\nAccessDenied: denied\n\ngrant")
    assert "Result: s3://ops/r.json\nGlue job run: job jr_1\n" in message.text


def test_a_partial_run_says_so_and_names_its_steps() -> None:
    whole = describe(result(status="succeeded"))
    assert (whole.headline, whole.as_json()["partial"]) == ("nightly succeeded", False)
    part = describe(result(status="succeeded", selected=("partners[north]", "summary")))
    assert part.headline == "nightly succeeded (partial run)"
    assert "Selected steps: partners[north], summary\n" in part.text
    document = json.loads(render_json(part))
    assert (document["partial"], document["selected"]) == (True, ["partners[north]", "summary"])
    many = describe(result(selected=tuple(f"s{number}" for number in range(30))))
    assert (len(many.selected), many.selected[-1]) == (11, "...")


def test_a_step_of_a_group_is_named_with_its_item() -> None:
    items = (
        ItemResult("north", "succeeded", (step("partners.fetch", "succeeded", None),)),
        ItemResult("south", "failed", (step("partners.fetch"),)),
    )
    message = describe(result(step("partners", items=items)))
    assert message.step == "partners[south].fetch"


@pytest.mark.parametrize(
    ("ended", "events"),
    [
        (result(status="succeeded"), {"succeeded"}),
        (result(step("a")), {"failed"}),
        (result(step("a", error=Failure("RoleRefused", "no"))), {"failed", "refused"}),
        (result(error=Failure("RolesRefused", "no")), {"failed", "refused"}),
        (result(step("a", "warning"), status="warning"), {"warning"}),
        (result(status="stopped"), {"stopped"}),
    ],
)
def test_the_ends_of_a_result(ended: RunResult, events: set[str]) -> None:
    assert list_events(ended) == events


def test_other_ends_are_added() -> None:
    stopped = result(status="stopped")
    assert list_events(stopped, is_out_of_time=True) == {"stopped", "failed"}
    assert list_events(result(), is_invalid=True) == {"failed", "invalid"}
    assert describe(result(), is_invalid=True).event == "invalid"
    assert describe(stopped, reason="no time").reason == "no time"


def test_the_hint_of_refused_roles_is_that_of_the_step() -> None:
    refused = Failure("RolesRefused", "1 role was refused")
    message = describe(result(step("a", "not_run"), error=refused))
    assert (message.reason, message.hint, message.event) == (
        "1 role was refused", "grant it", "refused"
    )  # fmt: skip


@pytest.mark.parametrize("text", ["é" * 3_000_000, "\U0001f600" * 3_000_000, "\x00\ud800" * 99999])
def test_long_and_hostile_texts_stay_below_the_limits(text: str) -> None:
    failed = step(text, error=Failure(text, text, text))
    message = describe(replace(result(failed), job=text, run_id=text))
    assert len(message.subject) <= SUBJECT_LENGTH
    assert message.subject.isascii()
    assert message.subject.isprintable()
    for rendered in (message.text.encode(), render_json(message).encode()):
        assert len(rendered) < 128 << 10


@pytest.mark.parametrize("letter", ["a", "é", "世", "\U0001f600", "<", '"', "\n", "\x00"])
def test_posts_stay_below_the_limit_of_teams(letter: str) -> None:
    error = Failure("E" * 200, letter * 99_999, letter * 99_999)
    message = replace(
        describe(result(replace(step("a" * 64, error=error), role="r" * 300))),
        selected=(letter * 300,) * 10,
        result=f"s3://bucket/{'k' * 1000}",
    )
    post = render_post(message)
    assert len(post) <= MAX_POST
    assert len(post) > MAX_POST // 8, "no more is left out than must be"
    assert json.loads(post)["text"]


def test_secrets_are_masked_before_texts_are_shortened() -> None:
    secret = register_secret("s3cret-" + "x" * 40)
    text = "a" * ((16 << 10) - 20) + secret
    message = describe(result(step("a", error=Failure("T", text, f"with {secret}"))))
    for rendered in (message.text, render_json(message), render_post(message).decode()):
        assert "s3cret" not in rendered


def test_a_post_makes_nothing_of_what_it_quotes() -> None:
    hostile = "<!channel> <http://evil.example|click> [click](http://evil.example) *b* & \u202e"
    post = json.loads(render_post(describe(result(step("a", error=Failure("T", hostile))))))
    (attachment,) = post["attachments"]
    assert "<" not in post["text"] + attachment["text"]
    assert "&lt;!channel&gt;" in attachment["text"]
    assert post["mrkdwn"] is False
    kinds = {block["type"] for block in attachment["content"]["body"]}
    assert kinds == {"RichTextBlock"}, "a text run has no Markdown"
    assert "\u202e" not in json.dumps(post, ensure_ascii=False)
    assert post["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
