"""Rules on what steps read, write and delete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.audit.finding import RuleMatch, rule
from rolerunner.audit.subject import is_write
from rolerunner.model import S3Uri
from rolerunner.spec.expressions import Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.audit.subject import AuditSubject
    from rolerunner.model import Permission, PlannedStep

_WHOLE_BUCKET = re.compile(r"arn:aws[a-z-]*:s3:::[^/*]+/\*\Z")
_ANY_BUCKET = re.compile(r"arn:aws[a-z-]*:s3:::[^/]*\*")
_PUBLIC = {
    "public-read": "everyone",
    "public-read-write": "everyone, who may write there too",
    "authenticated-read": "everyone with an AWS account",
}
_MANY = 100_000
"""Deletions that are past looking over by hand."""
_DESTRUCTIVE = re.compile(r"(Delete|Terminate|Purge|BatchDelete|Remove|Destroy|Stop|Revoke)[A-Z]")


@rule(
    "RR010", "whole-bucket", "medium",
    "A step may write or read all of a bucket.",
    "Its role needs permission on everything there, also on what others put there.",
    "name the prefix that the step is for",
)  # fmt: skip
def whole_bucket(subject: AuditSubject) -> Iterator[RuleMatch]:
    """By the permissions of the plan: reading alone is less bad."""
    for planned, permissions in _by_step(subject):
        worst = next((each for each in permissions if is_write(each)), permissions[0])
        told = f"'{planned.step.id}' needs {worst.action} on the whole bucket {worst.resource.rpartition(':')[2][:-2]}"
        yield (
            subject.at_step(planned, told, whole_bucket.remedy, "target", "source", "parameters"),
            "" if is_write(worst) else "low",
        )


def _by_step(subject: AuditSubject) -> list[tuple[PlannedStep, list[Permission]]]:
    found: dict[str, tuple[PlannedStep, list[Permission]]] = {}
    for planned, _, permission in subject.permissions():
        if _WHOLE_BUCKET.match(permission.resource):
            found.setdefault(planned.step.id, (planned, []))[1].append(permission)
    return list(found.values())


@rule(
    "RR011", "any-bucket", "medium",
    "Which bucket a step works on is known only when it runs.",
    "Its role needs permission on every bucket that may be meant.",
    "name the bucket in the spec, and let a param choose the key",
)  # fmt: skip
def any_bucket(subject: AuditSubject) -> Iterator[RuleMatch]:
    """A place whose bucket holds an expression that is not known, or a permission on a bucket with a star."""
    for planned in subject.plan.steps:
        hidden = (
            () if planned.permissions else _PLACES
        )  # where another step tells it, the plan may know
        place = next(
            (
                str(planned.fields[name])
                for name in hidden
                if _hides_its_bucket(planned.fields.get(name))
            ),
            "",
        )
        resource = next(
            (
                each.resource
                for needed in planned.permissions.values()
                for each in needed
                if _ANY_BUCKET.match(each.resource)
            ),
            "",
        )
        if place or resource:
            yield (
                subject.at_step(
                    planned,
                    f"'{planned.step.id}' works on {place or resource}",
                    any_bucket.remedy,
                    *_PLACES,
                    "parameters",
                ),
                "",
            )


_PLACES = ("target", "source")


def _hides_its_bucket(place: Any) -> bool:
    return (
        isinstance(place, Template)
        and place.text.startswith(("s3://", "${{"))
        and "${{" in place.text.removeprefix("s3://").partition("/")[0]
    )


@rule(
    "RR012", "no-encryption", "low",
    "Objects are stored with the bucket's default encryption.",
    "Whoever may read the bucket may read them: S3's own key asks for no permission of its own.",
    "say 'encryption: {type: aws:kms, key: alias/NAME}', or leave it to the bucket's default with a comment that says so",
)  # fmt: skip
def no_encryption(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Uploads, copies and writes without 'encryption'."""
    for planned in subject.plan.steps:
        if subject.action_of(planned).stores_objects and planned.fields.get("encryption") is None:
            yield (
                subject.at_step(
                    planned,
                    f"'{planned.step.id}' stores objects without 'encryption'",
                    no_encryption.remedy,
                    "target",
                ),
                "",
            )


@rule(
    "RR013", "public-acl", "high",
    "Objects are stored with a public ACL.",
    "Anyone can read them, whatever the bucket's policy says.",
    "leave 'acl' out, or say bucket-owner-full-control",
)  # fmt: skip
def public_acl(subject: AuditSubject) -> Iterator[RuleMatch]:
    """A canned ACL that names everyone."""
    for planned in subject.plan.steps:
        acl = planned.fields.get("acl") or _parameter(planned, "ACL")
        if isinstance(acl, str) and acl in _PUBLIC:
            told = f"'{planned.step.id}' stores objects for {_PUBLIC[acl]} ('{acl}')"
            yield subject.at_step(planned, told, public_acl.remedy, "acl", "parameters"), ""


def _parameter(planned: PlannedStep, name: str) -> Any:
    parameters = planned.fields.get("parameters")
    return parameters.get(name) if isinstance(parameters, dict) else None


@rule(
    "RR014", "deletes-a-bucket", "high",
    "A step may delete all of a bucket.",
    "A wrong param or an early run empties it.",
    "name a prefix, and leave 'allow_all' out",
)  # fmt: skip
def deletes_a_bucket(subject: AuditSubject) -> Iterator[RuleMatch]:
    """s3.delete with allow_all."""
    for planned in subject.plan.steps:
        if planned.fields.get("allow_all") is True:
            yield (
                subject.at_step(
                    planned,
                    f"'{planned.step.id}' may delete a whole bucket ('allow_all')",
                    deletes_a_bucket.remedy,
                    "allow_all",
                ),
                "",
            )


@rule(
    "RR015", "unbounded-deletion", "medium",
    "A step may delete very many objects, or their versions for good.",
    "The bound is there to stop a deletion that goes wrong, and this one does not.",
    "say the largest number that a good run deletes as 'max_delete'",
)  # fmt: skip
def unbounded_deletion(subject: AuditSubject) -> Iterator[RuleMatch]:
    """A max_delete past 100,000; versions, which no versioning brings back."""
    for planned in subject.plan.steps:
        most = planned.fields.get("max_delete")
        if isinstance(most, int) and most > _MANY:
            yield (
                subject.at_step(
                    planned,
                    f"'{planned.step.id}' may delete {most:,} objects",
                    unbounded_deletion.remedy,
                    "max_delete",
                ),
                "",
            )
        if planned.fields.get("versions") is True and subject.action_of(planned).deletes_objects:
            told = f"'{planned.step.id}' deletes versions, which nothing brings back"
            yield (
                subject.at_step(
                    planned,
                    told,
                    "leave 'versions' out, and let a lifecycle rule of the bucket remove old ones",
                    "versions",
                ),
                "",
            )


@rule(
    "RR016", "unguarded-call", "medium",
    "An aws.call deletes, stops or revokes something.",
    "No bound and no look at what is there goes before it, as with s3.delete.",
    "use s3.delete for objects; for others guard the step with 'when'",
)  # fmt: skip
def unguarded_call(subject: AuditSubject) -> Iterator[RuleMatch]:
    """By the operation's name, where the step runs in any case."""
    for planned in subject.plan.steps:
        operation = planned.fields.get("operation")
        if (
            subject.action_of(planned).calls_any_service
            and isinstance(operation, str)
            and _DESTRUCTIVE.match(operation)
            and not isinstance(planned.step.when, Template)
        ):
            told = f"'{planned.step.id}' calls {planned.fields.get('service')}'s {operation}"
            yield subject.at_step(planned, told, unguarded_call.remedy, "operation"), ""


@rule(
    "RR017", "failed-write-goes-on", "medium",
    "A step that writes or deletes may fail, and the run goes on.",
    "Later steps, and whoever reads the result, find half of it.",
    "leave 'on_error: continue' out, or guard what follows with 'when: ${{ steps.ID.status == ... }}'",
)  # fmt: skip
def failed_write_goes_on(subject: AuditSubject) -> Iterator[RuleMatch]:
    """on_error: continue on a step whose permissions change something."""
    changing = {
        planned.step.id for planned, _, permission in subject.permissions() if is_write(permission)
    }
    for planned in subject.plan.steps:
        if planned.step.on_error == "continue" and planned.step.id in changing:
            told = f"'{planned.step.id}' changes objects, and its failure does not stop the run"
            yield subject.at_step(planned, told, failed_write_goes_on.remedy, "on_error"), ""


@rule(
    "RR018", "shared-target", "low",
    "Two steps overwrite objects below the same place.",
    "Which of them is there afterwards hangs on the order, and on a retry.",
    "give each a prefix of its own, or say 'if_exists: fail' or 'skip_same'",
)  # fmt: skip
def shared_target(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Targets that are known, one inside the other, where the later may overwrite."""
    before: list[tuple[PlannedStep, S3Uri]] = []
    for planned in subject.plan.steps:
        target = planned.fields.get("target")
        uri = target if isinstance(target, S3Uri) else _parsed(target)
        if not subject.action_of(planned).stores_objects or uri is None:
            continue
        other = next(
            (
                each
                for each, place in before
                if place.bucket == uri.bucket and _one_holds_the_other(place, uri)
            ),
            None,
        )
        if (
            other is not None
            and planned.fields.get("if_exists", "overwrite") == "overwrite"
            and not planned.fields.get("if_none_match")
        ):
            told = f"'{planned.step.id}' may overwrite what '{other.step.id}' stores below {uri}"
            yield subject.at_step(planned, told, shared_target.remedy, "if_exists", "target"), ""
        before.append((planned, uri))


def _parsed(target: Any) -> Optional[S3Uri]:
    try:
        return S3Uri.parse(target) if isinstance(target, str) else None
    except ValueError:
        return None


def _one_holds_the_other(one: S3Uri, other: S3Uri) -> bool:
    same = one.key == other.key
    return same or (
        one.is_prefix
        and other.is_prefix
        and (other.key.startswith(one.key) or one.key.startswith(other.key))
    )
