"""The permissions that the role of a notification needs.

Sources: Service Authorization Reference; the chapters of the SNS and SQS developer guides on KMS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.iam.actions_table import derive_key_permissions
from rolerunner.model import Permission, RoleArn

if TYPE_CHECKING:
    from rolerunner.model import Job, Notification

_KEY_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
_ACTIONS = {"sns": "sns:Publish", "event": "events:PutEvents", "sqs": "sqs:SendMessage"}


def derive_permissions(notification: Notification, job: Job) -> tuple[Permission, ...]:
    """Returns the permissions of the notification's role; none for a webhook."""
    kind = notification.kind
    if kind == "webhook":
        return ()
    resource = build_bus_arn(notification, job) if kind == "event" else str(notification.target)
    keys = derive_key_permissions(_KEY_ACTIONS, notification.key, kind) if notification.key else []
    return (Permission(_ACTIONS[kind], resource), *keys)


def build_bus_arn(notification: Notification, job: Job) -> str:
    """Returns the ARN of an event bus; ``*`` stands for a region or account that is not known.

    A bus without an ARN is that of the role's account, in the role's region or else the job's. The
    job's own role reaches no other account by a name, so its policy needs no account.
    """
    if str(notification.target).startswith("arn:"):
        return str(notification.target)
    role = notification.role
    known = RoleArn.parse(role.arn) if role is not None and not role.is_job else None
    partition, account = (known.partition, known.account) if known is not None else ("aws", "*")
    own = job.glue.region if job.glue is not None else ""
    region = (role.region if role is not None else "") or own or "*"
    return f"arn:{partition}:events:{region}:{account}:event-bus/{notification.target}"
