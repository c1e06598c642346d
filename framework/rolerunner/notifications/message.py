"""The message about the end of a run, and its forms: JSON, plain text, a post for a chat.

Every text is masked first and shortened after that, since half a secret is not found any more.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.redaction.brief import redact_briefly
from rolerunner.redaction.redact import redact
from rolerunner.step_ids import local_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolerunner.model import NotifyEvent, RunLocation, RunResult, StepResult

LONG_TEXT = 16 << 10
"""Maximum bytes of a reason or a hint. With all else a message has less than 64 KiB of the 256 KiB
that SNS, SQS and EventBridge take."""
SHORT_TEXT = 1 << 10
"""Maximum bytes of every other text."""
SUBJECT_LENGTH = 100
"""Maximum characters of the subject of an SNS message (SNS API reference)."""
_MOST_SELECTED = 10
"""Selected steps that a message names."""
_CHAT_TEXTS = (3000, 1500, 700, 300, 100)
"""Maximum characters of a text in a chat; each is tried where the one before makes too much."""
MAX_POST = 28_000
"""Maximum bytes of a post to a chat: Teams takes 28 KB."""
_VERBS = {
    "warning": "ended with a warning",
    "refused": "was refused a role",
    "stopped": "was stopped",
    "invalid": "has an invalid spec or params",
}
_COLOURS = {"succeeded": "good", "warning": "warning"}
_CARD = "application/vnd.microsoft.card.adaptive"


@dataclass(frozen=True)
class Message:
    """The end of a run. Texts are empty where there is nothing to say."""

    event: str
    """succeeded, warning, failed, refused, stopped or invalid."""
    job: str
    run_id: str
    status: str
    started: str
    seconds: float
    environment: str = ""
    step: str = ""
    role: str = ""
    type: str = ""
    reason: str = ""
    hint: str = ""
    result: str = ""
    glue_job: str = ""
    glue_run: str = ""
    selected: tuple[str, ...] = ()
    """The steps that were selected to run; empty for a whole run."""

    def as_json(self) -> dict[str, Any]:
        """Returns the message as a document, version 1."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"version": 1, **values, "selected": list(self.selected), "partial": self.is_partial}

    @property
    def is_partial(self) -> bool:
        """True if the run was one of some steps alone."""
        return bool(self.selected)

    @property
    def headline(self) -> str:
        """One line: the job, how it ended, and where."""
        where = f" at step {self.step}" if self.step and self.event != "succeeded" else ""
        job = f"{self.job or 'a job'}" + (f" ({self.environment})" if self.environment else "")
        part = " (partial run)" if self.is_partial else ""
        return f"{job} {_VERBS.get(self.event, self.event)}{where}{part}"

    @property
    def subject(self) -> str:
        """The headline as the subject of an e-mail: printable ASCII of at most 100 characters."""
        text = re.sub(r"[^\x20-\x7e]", "?", f"rolerunner: {' '.join(self.headline.split())}")
        return text if len(text) <= SUBJECT_LENGTH else text[: SUBJECT_LENGTH - 3] + "..."

    def list_facts(self) -> list[tuple[str, str]]:
        """Returns the names and values that are not empty, without reason and hint."""
        role = f"{self.glue_job} {self.glue_run}".strip()
        facts = [
            ("Environment", self.environment),
            ("Status", self.status),
            ("Selected steps", ", ".join(self.selected)),
            ("Step", self.step),
            ("Role", self.role),
            ("Run", self.run_id),
            ("Started", self.started),
            ("Seconds", f"{self.seconds:g}" if self.seconds else ""),
            ("Result", self.result),
            ("Glue job run", role),
        ]
        return [(name, value) for name, value in facts if value]

    @property
    def typed_reason(self) -> str:
        """The kind of the failure, and the reason."""
        return f"{self.type}: {self.reason}" if self.type else self.reason

    @property
    def text(self) -> str:
        """The message for people, such as the text of an e-mail."""
        parts = [
            self.headline,
            *(["", self.typed_reason] if self.reason else []),
            *(["", self.hint] if self.hint else []),
            "",
            *(f"{name}: {value}" for name, value in self.list_facts()),
        ]
        return "\n".join(parts) + "\n"


def describe_run(
    result: RunResult, location: RunLocation, reason: str = "", *, is_invalid: bool = False
) -> Message:
    """Returns the message about a run, without secrets; ``reason`` precedes that of a step."""
    failed = find_failed_step(result)
    error = result.error or (failed.error if failed is not None else None)
    hint = error.hint if error is not None else ""
    if not hint and failed is not None and failed.error is not None:
        hint = failed.error.hint  # that of the refused role
    message = error.message if error is not None else ""
    return Message(
        event=_name_event(result, is_invalid=is_invalid),
        job=_shorten(result.job),
        run_id=_shorten(result.run_id),
        status=result.status,
        started=result.started,
        seconds=result.seconds,
        environment=_shorten(result.environment),
        step=_shorten(failed.id if failed is not None else ""),
        role=_shorten(failed.role if failed is not None else ""),
        type=_shorten(error.type if error is not None else ""),
        reason=_shorten(f"{reason}\n{message}".strip(), LONG_TEXT),
        hint=_shorten(hint, LONG_TEXT),
        result=_shorten(location.result),
        glue_job=_shorten(location.glue_job),
        glue_run=_shorten(location.glue_run),
        selected=_list_selected(result.selected),
    )


def _list_selected(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the first names, and ``...`` for the others."""
    shown = tuple(_shorten(name) for name in names[:_MOST_SELECTED])
    return (*shown, "...") if len(names) > _MOST_SELECTED else shown


def _name_event(result: RunResult, *, is_invalid: bool) -> str:
    if is_invalid:
        return "invalid"
    return "refused" if is_refused(result) else result.status


def list_events(
    result: RunResult, *, is_invalid: bool = False, is_out_of_time: bool = False
) -> frozenset[NotifyEvent]:
    """Returns the ends that a result is: one that was refused or is invalid has failed, too."""
    ends: list[tuple[NotifyEvent, bool]] = [
        (result.status, True),
        ("refused", is_refused(result)),
        ("invalid", is_invalid),
        ("failed", is_out_of_time),
    ]
    return frozenset(end for end, holds in ends if holds)


def is_refused(result: RunResult) -> bool:
    """Returns True if a role was refused, before the first step or when a step needed it."""
    if result.error is not None:
        return result.error.type == "RolesRefused"
    failed = find_failed_step(result)
    return (
        result.status == "failed"
        and failed is not None
        and failed.error is not None
        and failed.error.type == "RoleRefused"
    )


def find_failed_step(result: RunResult) -> Optional[StepResult]:
    """Returns the step that a message names: the first that failed, or has an error at all.

    For a group it is the step of an item, with the id ``group[item].step``.
    """
    found = [each for step in result.steps for each in (*_list_inner(step), step) if each.error]
    return next((step for step in found if step.status == "failed"), next(iter(found), None))


def _list_inner(step: StepResult) -> Iterator[StepResult]:
    """Yields the results of a group's steps; those of succeeded items have nothing to tell."""
    for item in step.items:
        for inner in item.steps if item.status != "succeeded" else ():
            yield replace(inner, id=f"{step.id}[{item.item}].{local_name(inner.id)}")


def _shorten(text: str, limit: int = SHORT_TEXT) -> str:
    return redact_briefly(text, limit)


def render_json(message: Message) -> str:
    """Returns the message as compact JSON."""
    return json.dumps(redact(message.as_json()), ensure_ascii=False, separators=(",", ":"))


def render_post(message: Message) -> bytes:
    """Returns a post that Slack's and Teams' incoming webhooks take.

    Slack reads ``text`` and of an attachment ``color`` and ``text``; Teams' workflows read
    ``type`` and of an attachment ``contentType`` and ``content``. Neither makes a link, a mention
    or bold text of what a message quotes: Slack's characters are escaped, and Teams' runs of text
    are not Markdown. Long texts are shortened until the post is small enough.
    """
    post = b""
    for length in _CHAT_TEXTS:
        post = _render_post(message, length)
        if len(post) <= MAX_POST:
            break
    return post


def _render_post(message: Message, length: int) -> bytes:
    """Returns a post whose texts have at most ``length`` characters."""
    details = _list_details(message, length)
    attachment: dict[str, Any] = {
        "color": _COLOURS.get(message.event, "danger"),
        "fallback": _escape_slack(message.headline),
        "text": _escape_slack("\n".join(f"{name}: {value}" for name, value in details)),
        "mrkdwn_in": [],
        "contentType": _CARD,
        "contentUrl": None,
        "content": {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.2",
            "body": [
                _build_run_of_text(message.headline, weight="Bolder"),
                *(_build_run_of_text(f"{name}: {value}") for name, value in details),
            ],
        },
    }
    post = {
        "type": "message",
        "text": _escape_slack(message.headline),
        "mrkdwn": False,
        "attachments": [attachment],
    }
    return json.dumps(redact(post), ensure_ascii=False).encode()


def _list_details(message: Message, length: int) -> list[tuple[str, str]]:
    texts = [("Reason", message.typed_reason if message.reason else ""), ("Hint", message.hint)]
    return [
        (name, value if len(value) <= length else value[: length - 1] + "…")
        for name, value in [*texts, *message.list_facts()]
        if value
    ]


def _build_run_of_text(text: str, **style: str) -> dict[str, Any]:
    return {
        "type": "RichTextBlock",
        "inlines": [{"type": "TextRun", "text": text, **style}],
    }


def _escape_slack(text: str) -> str:
    """Escapes the three characters that Slack's references and links are made of."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
