"""Models the ``notify`` section of a spec: who is told how a run ended."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from rolerunner.model import Notification, NotifyKind, RoleArn
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import StrictModel, Text, json_form
from rolerunner.spec.nested_templates import BROKEN_EXPRESSION, iter_templates
from rolerunner.spec.step_fields import RoleName
from rolerunner.spec.validation import describe_value

if TYPE_CHECKING:
    from rolerunner.spec.document import Path
    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.roles import Roles

MAX_NOTIFICATIONS = 50
"""Maximum number of targets: each is told by a thread of its own."""
_KINDS: tuple[NotifyKind, ...] = ("sns", "event", "sqs", "webhook")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?\Z")
_QUEUE = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?\Z")
_BUS = re.compile(
    r"(arn:aws[a-z-]*:events:[a-z0-9-]+:\d{12}:event-bus/)?(?!aws\.)[A-Za-z0-9/._-]{1,256}\Z"
)
_KEY = re.compile(r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/[\w/-]+)\Z", re.ASCII)


def check_webhook_url(url: str) -> None:
    """Raises ValueError for a URL that nothing is posted to. The message does not show the URL."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if not host or parts.scheme not in ("https", "http"):
        raise ValueError("must be a URL that begins with https://")
    if any(not each.isprintable() or each.isspace() for each in url):
        raise ValueError("has a blank or a control character")
    if parts.username is not None or parts.password is not None:
        raise ValueError("cannot hold a user name or a password")
    if parts.scheme != "https" and not is_loopback(url):
        raise ValueError("must begin with https://: the message would be sent in plain text")


def is_loopback(url: str) -> bool:
    """Returns True for a URL of this machine."""
    return urlsplit(url).hostname in _LOOPBACK


def _list_of_one(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _require(pattern: re.Pattern[str], form: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(f"must be {form}, not '{value}'")
        return value

    return BeforeValidator(check)


def _validate_rule_role(value: Any) -> Any:
    if isinstance(value, str):
        RoleArn.parse(value)
    return value


_EVENTS = ["succeeded", "warning", "failed", "refused", "stopped", "invalid"]
Events = Annotated[
    list[Literal["succeeded", "warning", "failed", "refused", "stopped", "invalid"]],
    BeforeValidator(_list_of_one),
    Field(min_length=1),
    json_form(
        anyOf=[
            {"enum": _EVENTS},
            {"type": "array", "minItems": 1, "items": {"enum": _EVENTS}},
        ]
    ),
]


class NotifyFields(StrictModel):
    """A target that is told how a run ended: a topic, an event bus, a queue or a webhook."""

    on: Events = Field(
        description="The ends to tell: succeeded, warning, failed, refused (a role), stopped, "
        "invalid (in Glue: the spec or its params). 'failed' includes refused and invalid.",
        examples=["failed", ["failed", "stopped"]],
    )
    sns: Optional[Annotated[Text, _require(_TOPIC, "the ARN of an SNS topic")]] = Field(
        None,
        description="The ARN of an SNS topic.",
        examples=["arn:aws:sns:eu-west-1:111122223333:ops"],
    )
    event: Optional[Annotated[Text, _require(_BUS, "the name or the ARN of an event bus")]] = Field(
        None,
        description="The name or the ARN of an event bus of EventBridge, such as default.",
        examples=["default"],
    )
    sqs: Optional[Annotated[Text, _require(_QUEUE, "the ARN of an SQS queue")]] = Field(
        None,
        description="The ARN of an SQS queue.",
        examples=["arn:aws:sqs:eu-west-1:111122223333:ops"],
    )
    webhook: Optional[Text] = Field(
        None,
        description="The URL of a webhook of Slack, Teams or their kind: a secret param.",
        examples=["${{ params.slack_url }}"],
    )
    role: Optional[RoleName] = Field(
        None,
        description="The role that sends it: an alias, an ARN, or job. A webhook has none.",
        examples=["job"],
    )
    key: Optional[Annotated[Text, _require(_KEY, "the ARN of a KMS key or alias")]] = Field(
        None,
        description="The KMS key of an encrypted topic or queue, for the role's permissions.",
        examples=["arn:aws:kms:eu-west-1:111122223333:key/0ab1"],
    )
    rule_role: Optional[Annotated[Text, BeforeValidator(_validate_rule_role)]] = Field(
        None,
        description="The role under which EventBridge itself puts the ends that a job cannot tell "
        "of, such as Glue's timeout, on an event bus other than default.",
        examples=["arn:aws:iam::111122223333:role/glue-events-to-bus"],
    )

    @model_validator(mode="after")
    def _has_one_target(self) -> NotifyFields:
        named = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(named) != 1:
            found = f", not {' and '.join(named)}" if named else ""
            raise ValueError(f"must have one of {', '.join(_KINDS)}{found}")
        kind = named[0]
        if kind == "webhook" and self.role is not None:
            raise ValueError("'webhook' takes no 'role': nothing is signed")
        if kind != "webhook" and self.role is None:
            raise ValueError(f"'{kind}' needs a 'role': an alias, an ARN, or job")
        if self.key is not None and kind not in ("sns", "sqs"):
            raise ValueError("'key' goes with 'sns' or 'sqs'")
        if self.rule_role is not None and kind != "event":
            raise ValueError("'rule_role' goes with 'event'")
        return self


def parse_notifications(value: Any, roles: Roles, reader: SpecReader) -> tuple[Notification, ...]:
    """Returns the notifications without mistakes that depend on no unknown param.

    Mistakes are added to the reader.
    """
    if not isinstance(value, list):
        reader.add(("notify",), f"'notify' must be a list, not {describe_value(value)}")
        return ()
    if len(value) > MAX_NOTIFICATIONS:
        reader.add(("notify",), f"'notify' must have at most {MAX_NOTIFICATIONS} targets")
        return ()
    # the webhook alone may be a secret, and is evaluated when it is sent
    reader = replace(reader, accepts_secret=lambda path: path[2:] == ("webhook",))
    parsed = [_parse_one(index, each, roles, reader) for index, each in enumerate(value)]
    return tuple(each for each in parsed if each is not None)


def _parse_one(index: int, value: Any, roles: Roles, reader: SpecReader) -> Optional[Notification]:
    path: Path = ("notify", index)
    if not isinstance(value, dict):
        reader.add(path, f"a target must be a mapping with 'on', not {describe_value(value)}")
        return None
    parsed = reader.parse_templates(value, path, ("params",))
    url = parsed.get("webhook")
    filled = {**reader.fill_known(parsed, path), **({"webhook": url} if url is not None else {})}
    fields = reader.validate_model(NotifyFields, filled, path)
    if fields is None:
        return None
    before = len(reader.known.problems)
    if fields.webhook is not None:
        _check_webhook(fields.webhook, (*path, "webhook"), reader)
    if fields.role is not None:
        roles.check(fields.role, (*path, "role"), reader)
    if len(reader.known.problems) > before:
        return None
    return _build(fields, index, roles)


def _check_webhook(url: Any, path: Path, reader: SpecReader) -> None:
    """Reports a URL in the spec itself, which everyone could read, and a wrong one of a param."""
    if isinstance(url, Template):
        if BROKEN_EXPRESSION in url.parts:
            return
        names = {each.path[1] for each in url.references if each.path[0] == "params"}
        if not names & reader.known.secrets:
            reader.add(
                path,
                "the URL of a webhook is a secret, and no param in it is",
                "declare the param with 'secret: true'",
            )
            return
        url = reader.fill_known(url, path)
        if isinstance(url, Template):  # a param has no value yet
            return
    elif not is_loopback(url):
        problem = reader.document.problem(
            path,
            "the URL of a webhook is a secret, which cannot be in a spec",
            "declare a param with 'secret: true' and write ${{ params.NAME }}",
        )
        reader.add_problem(replace(problem, line=""))  # the line holds the secret
        return
    try:
        check_webhook_url(str(url))
    except ValueError as error:
        reader.add(path, f"'webhook' {error}")


def _build(fields: NotifyFields, index: int, roles: Roles) -> Optional[Notification]:
    kind = next(kind for kind in _KINDS if getattr(fields, kind) is not None)
    target = getattr(fields, kind)
    others = [fields.on, fields.role, fields.key, fields.rule_role]
    if any(iter_templates([*others, *([] if kind == "webhook" else [target])])):
        return None  # depends on a param without a value
    role = None if fields.role is None else roles.find(fields.role)
    if fields.role is not None and role is None:
        return None
    return Notification(
        on=tuple(dict.fromkeys(fields.on)),
        kind=kind,
        target=target,
        role=role,
        key=fields.key or "",
        rule_role=fields.rule_role or "",
        number=index,
    )
