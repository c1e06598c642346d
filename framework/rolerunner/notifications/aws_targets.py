"""Sends a message to a topic, an event bus or a queue, under the role of the notification."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from rolerunner.errors import StepError, UnexpectedResponse
from rolerunner.iam.aws_errors import AwsError, is_throttling_response
from rolerunner.iam.denials import explain_error
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import JOB
from rolerunner.notifications.message import render_json
from rolerunner.notifications.undelivered import Undelivered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.model import Notification, Permission
    from rolerunner.notifications.message import Message
    from rolerunner.sessions.registry import Sessions

SOURCE = "rolerunner"
"""The source of the events that runs put on a bus."""
DETAIL_TYPE = "Job Run Finished"
"""The detail type of these events."""
_CLIENT_CONFIG = {
    "connect_timeout": 5,
    "read_timeout": 10,
    # a request that was sent may have been received: it is not sent again
    "retries": {"total_max_attempts": 1},
    "max_pool_connections": 2,
    "user_agent_extra": "rolerunner",
}
_NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError)
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")
_ID_LENGTH = 128


@dataclass(frozen=True)
class AwsTarget:
    """A topic, event bus or queue, and the sessions of the run."""

    notification: Notification
    permissions: tuple[Permission, ...]
    """Those that the role needs, for the hint where it lacks them."""
    sessions: Sessions

    def send(self, message: Message) -> None:
        """Sends the message. Raises StepError, or Undelivered for what may be sent again."""
        _SENDERS[self.notification.kind](self, message)

    def call(
        self, operation: str, region: str, parameters: Mapping[str, Any], confirmation: str
    ) -> Any:
        """Calls the service of the target; raises StepError.

        An answer without the member ``confirmation`` may come from anybody, and is an error.
        """
        answer = self._send_request(operation, region, parameters)
        if not answer.get(confirmation):
            raise UnexpectedResponse(f"{operation}: the response has no {confirmation}")
        return answer

    def _send_request(self, operation: str, region: str, parameters: Mapping[str, Any]) -> Any:
        service = {"event": "events"}.get(self.notification.kind, self.notification.kind)
        role = self.notification.role or JOB
        client = self.sessions.client(role, service, region=region, config=Config(**_CLIENT_CONFIG))
        if service == "sqs":
            parameters = {**parameters, "QueueUrl": _build_queue_url(client, self._arn_parts)}
        try:
            return getattr(client, operation)(**parameters)
        except ClientError as error:
            raise self._explain(error) from None
        except _NEVER_SENT as error:
            raise Undelivered(f"no connection to {service}", type=type(error).__name__) from None
        except BotoCoreError as error:
            raise StepError(f"{service}: {error}", type=type(error).__name__) from None

    @property
    def region(self) -> str:
        """The region in the target's ARN; empty if it has none."""
        parts = self._arn_parts
        return parts[3] if len(parts) > 3 else ""  # noqa: PLR2004

    @property
    def _arn_parts(self) -> list[str]:
        return str(self.notification.target).split(":")

    def _explain(self, error: ClientError) -> StepError:
        taken = AwsError.from_client_error(error)
        if is_throttling_response(taken):
            return Undelivered(f"{taken.operation}: {taken.message}", type=taken.code)
        role = self.notification.role or JOB
        caller = self.sessions.session_arn(role)
        return explain_error(taken, role, caller=caller, needed=self.permissions)


def _publish(target: AwsTarget, message: Message) -> None:
    arn = str(target.notification.target)
    parameters = {
        "TopicArn": arn,
        "Subject": message.subject,
        "Message": message.text,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value}
            for name, value in (
                ("event", message.event),
                ("job", message.job or "-"),
                ("partial", "true" if message.is_partial else "false"),
            )
        },
        **_order_of_fifo(arn, message),
    }
    target.call("publish", target.region, parameters, "MessageId")


def _put_event(target: AwsTarget, message: Message) -> None:
    entry = {
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Detail": render_json(message),
        "EventBusName": str(target.notification.target),
    }
    answer = target.call("put_events", target.region, {"Entries": [entry]}, "Entries")
    failed = next((each for each in answer["Entries"] if each.get("ErrorCode")), None)
    if failed is not None:
        code, text = str(failed["ErrorCode"]), str(failed.get("ErrorMessage", ""))
        error = AwsError(code, text, "PutEvents")
        role = target.notification.role or JOB
        caller = target.sessions.session_arn(role)
        raise explain_error(error, role, caller=caller, needed=target.permissions)


def _send_to_queue(target: AwsTarget, message: Message) -> None:
    body = {"MessageBody": render_json(message)}
    parameters = {**body, **_order_of_fifo(str(target.notification.target), message)}
    target.call("send_message", target.region, parameters, "MessageId")


_SENDERS: Mapping[str, Callable[[AwsTarget, Message], None]] = {
    "sns": _publish,
    "event": _put_event,
    "sqs": _send_to_queue,
}


def _order_of_fifo(arn: str, message: Message) -> dict[str, str]:
    """Returns what a FIFO topic or queue requires: it drops a message that it has had."""
    if not arn.endswith(".fifo"):
        return {}
    group, run = (
        _NOT_IN_AN_ID.sub("-", text)[:_ID_LENGTH] or "-"
        for text in (message.job, f"{message.event}-{message.run_id}")
    )
    return {"MessageGroupId": group, "MessageDeduplicationId": run}


def _build_queue_url(client: Any, arn: list[str]) -> str:
    """Returns the URL of a queue at the client's own endpoint, which may be that of a VPC."""
    return f"{str(client.meta.endpoint_url).rstrip('/')}/{arn[4]}/{arn[5]}"
