"""Rules on steps: what each finds, and the case next to it that it does not."""

from __future__ import annotations

import pytest

from rolerunner.audit import steps
from rolerunner.audit.finding import Rule
from tests.unit.audit.subjects import find


def one(fields: str) -> str:
    return f"steps:\n  - {{id: a, role: job, {fields}}}\n"


def check(rule: Rule, text: str, found: str) -> None:
    """Checks that the only finding has the severity and message, or that there is none."""
    assert [f"{place.partition(' ')[2]}: {message}" for place, message in find(rule, text)] == (
        [found] if found else []
    )


WRITE = "action: s3.write, text: x, target: "


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (f"{WRITE}s3://bkt/x", ""),
        ("action: s3.list, source: s3://bkt/", ""),
        (
            "action: s3.read, source: 's3://bkt/${{ run.id }}'",
            "low: 'a' needs s3:GetObject on the whole bucket bkt",
        ),
        (
            f"{WRITE}'s3://bkt/${{{{ run.id }}}}'",
            "medium: 'a' needs s3:PutObject on the whole bucket bkt",
        ),
        ("action: s3.read, source: 's3://bkt/in/${{ run.id }}'", ""),
    ],
)
def test_whole_bucket(fields: str, found: str) -> None:
    check(steps.whole_bucket, one(fields), found)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("action: s3.list, source: s3://bkt/", ""),
        (
            "action: s3.read, source: 's3://b-${{ run.id }}/x'",
            "medium: 'a' works on arn:aws:s3:::b-*",
        ),
        ("action: s3.read, source: 's3://bkt/${{ run.id }}'", ""),
        (
            (
                "action: s3.list, source: s3://bkt/, permissions: "
                "[{actions: 's3:GetObject', resources: 'arn:aws:s3:::*/x'}]"
            ),
            "medium: 'a' works on arn:aws:s3:::*/x",
        ),
    ],
)
def test_any_bucket(fields: str, found: str) -> None:
    check(steps.any_bucket, one(fields), found)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (f"{WRITE}s3://bkt/x", "low: 'a' stores objects without 'encryption'"),
        (f"{WRITE}s3://bkt/x, encryption: {{type: AES256}}", ""),
        ("action: s3.list, source: s3://bkt/", ""),
    ],
)
def test_no_encryption(fields: str, found: str) -> None:
    check(steps.no_encryption, one(fields), found)


@pytest.mark.parametrize(
    ("acl", "whom"),
    [
        ("public-read", "everyone"),
        ("public-read-write", "everyone, with write access"),
        ("authenticated-read", "everyone with an AWS account"),
        ("bucket-owner-full-control", ""),
    ],
)
def test_public_acl(acl: str, whom: str) -> None:
    found = f"high: 'a' stores objects for {whom} ('{acl}')" if whom else ""
    check(steps.public_acl, one(f"{WRITE}s3://bkt/x, acl: {acl}"), found)
    call = (
        "action: aws.call, service: s3, operation: PutObjectAcl, "
        f"parameters: {{Bucket: bkt, Key: x, ACL: {acl}}}"
    )
    check(steps.public_acl, one(call), found)


def test_parameters_without_an_acl() -> None:
    check(
        steps.public_acl,
        one("action: aws.call, service: s3, operation: ListBuckets"),
        "",
    )


DELETE = "action: s3.delete, source: "


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (
            f"{DELETE}s3://bkt/, max_delete: 9, allow_all: true",
            "high: 'a' can delete a whole bucket ('allow_all')",
        ),
        (f"{DELETE}s3://bkt/in/, max_delete: 9, allow_all: false", ""),
        (f"{DELETE}s3://bkt/in/, max_delete: 9", ""),
    ],
)
def test_deletes_a_bucket(fields: str, found: str) -> None:
    check(steps.deletes_a_bucket, one(fields), found)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (f"{DELETE}s3://bkt/in/, max_delete: 100000", ""),
        (f"{DELETE}s3://bkt/in/, max_delete: 100001", "medium: 'a' can delete 100,001 objects"),
        (f"{DELETE}s3://bkt/in/, max_delete: 9", ""),
        (
            f"{DELETE}s3://bkt/in/, max_delete: 9, versions: true",
            "medium: 'a' deletes versions, which cannot be restored",
        ),
        ("action: s3.list, source: s3://bkt/in/, versions: true", ""),
    ],
)
def test_unbounded_deletion(fields: str, found: str) -> None:
    check(steps.unbounded_deletion, one(fields), found)


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "more", "is_found"),
    [
        ("dynamodb", "DeleteTable", "{TableName: x}", "", True),
        ("sqs", "PurgeQueue", "{QueueUrl: x}", "", True),
        ("glue", "BatchDeleteTable", "{DatabaseName: x, TablesToDelete: [y]}", "", True),
        ("dynamodb", "DescribeTable", "{TableName: x}", "", False),
        ("dynamodb", "DeleteTable", "{TableName: x}", ", when: '${{ run.id == 1 }}'", False),
        ("dynamodb", "DeleteTable", "{TableName: x}", ", when: on_failure", True),
    ],
)
def test_unguarded_call(
    service: str, operation: str, parameters: str, more: str, is_found: bool
) -> None:
    fields = (
        f"action: aws.call, service: {service}, operation: {operation}, "
        f"parameters: {parameters}{more}"
    )
    found = f"medium: 'a' calls {service}'s {operation}" if is_found else ""
    check(steps.unguarded_call, one(fields), found)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (
            f"{WRITE}s3://bkt/x, on_error: continue",
            "medium: 'a' changes objects, and its failure does not stop the run",
        ),
        (f"{WRITE}s3://bkt/x", ""),
        ("action: s3.list, source: s3://bkt/, on_error: continue", ""),
    ],
)
def test_failed_write_goes_on(fields: str, found: str) -> None:
    check(steps.failed_write_goes_on, one(fields), found)


@pytest.mark.parametrize(
    ("first", "second", "more", "where"),
    [
        ("s3://bkt/x", "s3://bkt/x", "", "s3://bkt/x"),
        ("s3://bkt/x", "s3://bkt/y", "", ""),
        ("s3://bkt/x", "s3://other/x", "", ""),
        ("s3://bkt/x", "s3://bkt/x", ", if_none_match: true", ""),
        ("s3://bkt/x", "s3://bkt/${{ run.id }}", "", ""),
    ],
)
def test_shared_target_of_writes(first: str, second: str, more: str, where: str) -> None:
    text = (
        f"steps:\n  - {{id: a, role: job, {WRITE}'{first}'}}\n"
        f"  - {{id: b, role: job, {WRITE}'{second}'{more}}}\n"
    )
    found = f"low: 'b' may overwrite what 'a' stores under {where}" if where else ""
    check(steps.shared_target, text, found)


@pytest.mark.parametrize(
    ("first", "second", "more", "is_found"),
    [
        ("out/", "out/", "", True),
        ("out/", "out/in/", "", True),
        ("out/in/", "out/", "", True),
        ("out/", "other/", "", False),
        ("out/", "out/", ", if_exists: skip_same", False),
    ],
)
def test_shared_target_of_copies(first: str, second: str, more: str, is_found: bool) -> None:
    copy = "action: s3.copy, source: s3://src/, target: s3://bkt/"
    text = (
        f"steps:\n  - {{id: a, role: job, {copy}{first}}}\n"
        f"  - {{id: b, role: job, {copy}{second}{more}}}\n"
    )
    found = f"low: 'b' may overwrite what 'a' stores under s3://bkt/{second}" if is_found else ""
    check(steps.shared_target, text, found)
