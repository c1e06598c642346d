"""Compares the requests that IAM refused with those that a case expects."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from rolerunner.model import RoleArn
from rolerunner.spec_testing.mismatches import Mismatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.sandbox import RecordedRequest, Sandbox
    from rolerunner.spec_testing.case import Case
    from rolerunner.spec_testing.expectations import ExpectedRefusal

_EXPLAINING = ("iam", "GetRole")
"""Request that rolerunner sends only to explain a refusal; ignored if refused too."""


def compare_refusals(
    expected: list[ExpectedRefusal], case: Case, aws: Sandbox
) -> Iterator[Mismatch]:
    """Yields requests that were to be refused and were not, and other requests that were."""
    refused = [
        each
        for each in aws.requests()
        if each.is_refused and not each.is_admin and (each.service, each.operation) != _EXPLAINING
    ]
    for refusal in expected:
        if not any(_is_expected(refusal, request, case) for request in refused):
            place = _join_place(refusal.bucket, refusal.key)
            parts = (refusal.role, refusal.operation, place)
            wanted = " ".join(part for part in parts if part != "*/*")
            yield Mismatch("refusals", wanted, "not refused", _list_requests(refused))
    more = [
        request
        for request in refused
        if not any(_is_expected(refusal, request, case) for refusal in expected)
    ]
    if more:
        yield Mismatch("refusals", "no others" if expected else "none", _list_requests(more))


def _is_expected(refusal: ExpectedRefusal, request: RecordedRequest, case: Case) -> bool:
    role, parameters = RoleArn.parse(case.arn(refusal.role)), request.parameters
    return (
        request.caller.startswith(
            f"arn:{role.partition}:sts::{role.account}:assumed-role/{role.name}/"
        )
        and refusal.operation in ("*", request.operation, f"{request.service}:{request.operation}")
        and fnmatch.fnmatchcase(str(parameters.get("Bucket", "")), refusal.bucket)
        and fnmatch.fnmatchcase(str(parameters.get("Key", "")), refusal.key)
    )


def _list_requests(requests: list[RecordedRequest]) -> str:
    return "\n".join(dict.fromkeys(_format_request(each) for each in requests))


def _format_request(request: RecordedRequest) -> str:
    role, parameters = request.caller.split("/")[1], request.parameters
    place = _join_place(parameters.get("Bucket", ""), parameters.get("Key", ""))
    return f"{role} {request.operation} {place}".rstrip(" /")


def _join_place(bucket: str, key: str) -> str:
    return f"{bucket}/{key}"
