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
    "public-read-write": "everyone, with write access",
    "authenticated-read": "everyone with an AWS account",
}
_MAX_REVIEWED = 100_000
"""More deletions than anyone reviews by hand."""
_DESTRUCTIVE = re.compile(r"(Delete|Terminate|Purge|BatchDelete|Remove|Destroy|Stop|Revoke)[A-Z]")


@rule(
    "RR010", "whole-bucket", "medium",
    "A step can write or read a whole bucket.",
    "Its role needs permissions on every object there, including those of others.",
    "name the prefix that the step needs",
)  # fmt: skip
def whole_bucket(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches permissions of the plan; read access has a lower severity."""
    for planned, permissions in _group_by_step(subject):
        worst = next((each for each in permissions if is_write(each)), permissions[0])
        bucket = worst.resource.rpartition(":")[2][:-2]
        message = f"'{planned.step.id}' needs {worst.action} on the whole bucket {bucket}"
        yield (
            subject.locate_step(
                planned, message, whole_bucket.remedy, "target", "source", "parameters"
            ),
            "" if is_write(worst) else "low",
        )


def _group_by_step(subject: AuditSubject) -> list[tuple[PlannedStep, list[Permission]]]:
    found: dict[str, tuple[PlannedStep, list[Permission]]] = {}
    for planned, _, permission in subject.iter_permissions():
        if _WHOLE_BUCKET.match(permission.resource):
            found.setdefault(planned.step.id, (planned, []))[1].append(permission)
    return list(found.values())


@rule(
    "RR011", "any-bucket", "medium",
    "The bucket of a step is known only when it runs.",
    "Its role needs permissions on every bucket that is possible.",
    "name the bucket in the spec, and let a param choose the key",
)  # fmt: skip
def any_bucket(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches locations whose bucket is an unknown expression, and wildcards in permissions."""
    for planned in subject.plan.steps:
        hidden = (
            () if planned.permissions else _LOCATION_FIELDS
        )  # the plan may know a location that another step returns
        place = next(
            (
                str(planned.fields[name])
                for name in hidden
                if _has_unknown_bucket(planned.fields.get(name))
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
                subject.locate_step(
                    planned,
                    f"'{planned.step.id}' works on {place or resource}",
                    any_bucket.remedy,
                    *_LOCATION_FIELDS,
                    "parameters",
                ),
                "",
            )


_LOCATION_FIELDS = ("target", "source")


def _has_unknown_bucket(place: Any) -> bool:
    return (
        isinstance(place, Template)
        and place.text.startswith(("s3://", "${{"))
        and "${{" in place.text.removeprefix("s3://").partition("/")[0]
    )


@rule(
    "RR012", "no-encryption", "low",
    "Objects are stored with the bucket's default encryption.",
    "Everyone who can read the bucket can read them: S3's own key requires no permission.",
    "set 'encryption: {type: aws:kms, key: alias/NAME}', or ignore this finding in a comment "
    "if the bucket's default is intended",
)  # fmt: skip
def no_encryption(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Checks steps that store objects."""
    for planned in subject.plan.steps:
        if subject.find_action(planned).stores_objects and planned.fields.get("encryption") is None:
            yield (
                subject.locate_step(
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
    "Everyone can read them, whatever the bucket's policy says.",
    "remove 'acl', or set it to bucket-owner-full-control",
)  # fmt: skip
def public_acl(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches canned ACLs that grant access to everyone."""
    for planned in subject.plan.steps:
        acl = planned.fields.get("acl") or _find_parameter(planned, "ACL")
        if isinstance(acl, str) and acl in _PUBLIC:
            message = f"'{planned.step.id}' stores objects for {_PUBLIC[acl]} ('{acl}')"
            yield subject.locate_step(planned, message, public_acl.remedy, "acl", "parameters"), ""


def _find_parameter(planned: PlannedStep, name: str) -> Any:
    parameters = planned.fields.get("parameters")
    return parameters.get(name) if isinstance(parameters, dict) else None


@rule(
    "RR014", "deletes-a-bucket", "high",
    "A step can delete everything in a bucket.",
    "A wrong param or a run at the wrong time empties it.",
    "name a prefix, and remove 'allow_all'",
)  # fmt: skip
def deletes_a_bucket(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Checks 'allow_all'."""
    for planned in subject.plan.steps:
        if planned.fields.get("allow_all") is True:
            yield (
                subject.locate_step(
                    planned,
                    f"'{planned.step.id}' can delete a whole bucket ('allow_all')",
                    deletes_a_bucket.remedy,
                    "allow_all",
                ),
                "",
            )


@rule(
    "RR015", "unbounded-deletion", "medium",
    "A step can delete very many objects, or versions for good.",
    "A limit this high does not stop a deletion that goes wrong.",
    "set 'max_delete' to the largest number that a regular run deletes",
)  # fmt: skip
def unbounded_deletion(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Checks 'max_delete' above 100,000, and versions, which cannot be restored."""
    for planned in subject.plan.steps:
        most = planned.fields.get("max_delete")
        if isinstance(most, int) and most > _MAX_REVIEWED:
            yield (
                subject.locate_step(
                    planned,
                    f"'{planned.step.id}' can delete {most:,} objects",
                    unbounded_deletion.remedy,
                    "max_delete",
                ),
                "",
            )
        if planned.fields.get("versions") is True and subject.find_action(planned).deletes_objects:
            message = f"'{planned.step.id}' deletes versions, which cannot be restored"
            yield (
                subject.locate_step(
                    planned,
                    message,
                    "remove 'versions', and let a lifecycle rule of the bucket expire old versions",
                    "versions",
                ),
                "",
            )


@rule(
    "RR016", "unguarded-call", "medium",
    "An aws.call deletes, stops or revokes something.",
    "Unlike s3.delete, it has no limit and does not check what exists.",
    "use s3.delete for objects; otherwise guard the step with 'when'",
)  # fmt: skip
def unguarded_call(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches names of operations in steps without a 'when' expression."""
    for planned in subject.plan.steps:
        operation = planned.fields.get("operation")
        if (
            subject.find_action(planned).calls_any_service
            and isinstance(operation, str)
            and _DESTRUCTIVE.match(operation)
            and not isinstance(planned.step.when, Template)
        ):
            message = f"'{planned.step.id}' calls {planned.fields.get('service')}'s {operation}"
            yield subject.locate_step(planned, message, unguarded_call.remedy, "operation"), ""


@rule(
    "RR017", "failed-write-goes-on", "medium",
    "A step that writes or deletes may fail while the run continues.",
    "Later steps and readers of the result may find incomplete data.",
    "remove 'on_error: continue', or guard the following steps with "
    "'when: ${{ steps.ID.status == ... }}'",
)  # fmt: skip
def failed_write_goes_on(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Checks 'on_error: continue' on steps with write permissions."""
    changing = {
        planned.step.id
        for planned, _, permission in subject.iter_permissions()
        if is_write(permission)
    }
    for planned in subject.plan.steps:
        if planned.step.on_error == "continue" and planned.step.id in changing:
            message = f"'{planned.step.id}' changes objects, and its failure does not stop the run"
            yield subject.locate_step(planned, message, failed_write_goes_on.remedy, "on_error"), ""


@rule(
    "RR018", "shared-target", "low",
    "Two steps overwrite objects under the same prefix.",
    "The result depends on their order, and on retries.",
    "give each its own prefix, or set 'if_exists' to fail or skip_same",
)  # fmt: skip
def shared_target(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches known targets that overlap, if the later step may overwrite."""
    before: list[tuple[PlannedStep, S3Uri]] = []
    for planned in subject.plan.steps:
        target = planned.fields.get("target")
        uri = target if isinstance(target, S3Uri) else _parse_uri(target)
        if not subject.find_action(planned).stores_objects or uri is None:
            continue
        other = next(
            (
                each
                for each, place in before
                if each.step.id != planned.step.id
                and place.bucket == uri.bucket
                and _is_overlapping(place, uri)
            ),
            None,
        )
        if (
            other is not None
            and planned.fields.get("if_exists", "overwrite") == "overwrite"
            and not planned.fields.get("if_none_match")
        ):
            message = f"'{planned.step.id}' may overwrite what '{other.step.id}' stores under {uri}"
            yield (
                subject.locate_step(planned, message, shared_target.remedy, "if_exists", "target"),
                "",
            )
        before.append((planned, uri))


def _parse_uri(target: Any) -> Optional[S3Uri]:
    try:
        return S3Uri.parse(target) if isinstance(target, str) else None
    except ValueError:
        return None


def _is_overlapping(one: S3Uri, other: S3Uri) -> bool:
    same = one.key == other.key
    return same or (
        one.is_prefix
        and other.is_prefix
        and (other.key.startswith(one.key) or one.key.startswith(other.key))
    )


@rule(
    "RR019", "query-from-values", "low",
    "An expression becomes a part of a query of athena.query.",
    "Whoever sets the value can change what the query does.",
    "write ? in the query, and pass the value by 'parameters'",
)  # fmt: skip
def query_from_values(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches expressions in the SQL of a spec."""
    for planned in subject.plan.steps:
        query = planned.step.fields.get("query")
        is_of_athena = planned.step.action == "athena.query"
        if is_of_athena and isinstance(query, Template):
            message = f"the query of '{planned.step.id}' has an expression in its text"
            yield subject.locate_step(planned, message, query_from_values.remedy, "query"), ""


@rule(
    "RR022", "leaves-aws", "medium",
    "A step sends data to a server outside of AWS.",
    "No policy of AWS limits who reads it there, and no log of AWS shows it.",
    "check that the host may have these objects, and ignore the finding in a comment",
)  # fmt: skip
def leaves_aws(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Names what the actions send that send data to a host."""
    for planned in subject.plan.steps:
        if subject.find_action(planned).sends_data_out:
            source = planned.fields.get("source") or planned.fields.get("objects")
            message = f"'{planned.step.id}' sends {source} to {planned.fields.get('host')}"
            yield subject.locate_step(planned, message, leaves_aws.remedy, "host"), ""
