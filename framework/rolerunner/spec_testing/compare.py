"""Compares an observed run with the expectations of its case."""

from __future__ import annotations

import fnmatch
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.wording import format_count
from rolerunner.model import RoleArn, S3Uri
from rolerunner.sandbox.messages import TARGET_SERVICES
from rolerunner.spec_testing.contents import (
    Content,
    UnreadableObject,
    read_file,
    read_object,
    read_partitions,
)
from rolerunner.step_ids import StepId, label_position, local_name

if TYPE_CHECKING:
    from rolerunner.sandbox import RecordedRequest, Sandbox
    from rolerunner.spec_testing.case import Case
    from rolerunner.spec_testing.expectations import (
        Expectations,
        ExpectedFile,
        ExpectedMessages,
        ExpectedObject,
        ExpectedRefusal,
        ExpectedStep,
    )


@dataclass(frozen=True)
class Mismatch:
    """A difference between the expected and the observed run."""

    what: str
    """Path below ``expect``, such as steps.fetch.status."""
    expected: str
    seen: str
    detail: str = ""
    """Further explanation."""


@dataclass(frozen=True)
class ObservedRun:
    """The observed outcome of a run."""

    exit: Optional[int]
    """None if the run timed out and was killed."""
    result: Mapping[str, Any]
    """The result file; empty if there is none."""
    log: tuple[str, ...]
    aws: Sandbox
    output: str = ""
    """Its standard output and error as they were written."""


def find_mismatches(case: Case, seen: ObservedRun) -> Iterator[Mismatch]:
    """Yields every mismatch, in the order of the test file."""
    if seen.exit is None:
        yield Mismatch(
            "timeout",
            f"an end within {case.fields.timeout:g} s",
            "the run was still running and was killed",
        )
        return
    expect = case.fields.expect
    yield from _of_run(expect, seen)
    for name, expected in expect.steps.items():
        for found, step in find_steps(name, seen.result.get("steps", ())):
            yield from _of_step(found, expected, step)
    for uri, wanted in expect.objects.items():
        yield from _of_object(uri, wanted, case, seen.aws)
    for name, each in expect.files.items():
        yield from _of_content(
            f"files.{name}",
            each,
            read_file(case.folder / name, is_folder=name.endswith("/")),
            case,
        )
    for table, partitions in expect.partitions.items():
        wanted_values = sorted(partitions)
        yield from _compare_values(
            f"partitions.{table}", wanted_values, read_partitions(table, seen.aws)
        )
    if expect.refusals is not None:
        yield from _of_refusals(expect.refusals, case, seen.aws)
    counts = seen.aws.assume_role_count() if expect.assume_role else {}
    for role, count in expect.assume_role.items():
        yield from _compare_values(f"assume_role.{role}", count, counts.get(case.arn(role), 0))
    if expect.secrets is not None:
        yield from _of_secrets(case, seen)
    for message in expect.messages.log:
        if not any(matches_pattern(message, line) for line in seen.log):
            yield Mismatch(
                "messages",
                f"a line with {format_value(message)}",
                f"none of {format_count(len(seen.log), 'line')}",
            )
    yield from _of_messages(expect.messages, seen.aws)


def _of_messages(expected: ExpectedMessages, aws: Sandbox) -> Iterator[Mismatch]:
    """Yields the targets whose messages are not those expected, one text for each."""
    targets = {kind: getattr(expected, kind) for kind in TARGET_SERVICES}
    messages = aws.messages() if any(targets.values()) else []
    for kind, wanted in targets.items():
        for name, patterns in wanted.items():
            taken = [each.whole_text for each in messages if each.is_for(kind, name)]
            missing = [each for each in patterns if not _take_match(each, taken)]
            if missing or taken:
                yield Mismatch(
                    f"messages.{kind}.{name}",
                    format_value(missing) if missing else "no other message",
                    format_value(taken) if taken else "no other message",
                )


def _take_match(pattern: str, texts: list[str]) -> bool:
    """Removes the first text that matches. Returns False if there is none."""
    found = next((text for text in texts if matches_pattern(pattern, text)), None)
    if found is not None:
        texts.remove(found)
    return found is not None


def _of_secrets(case: Case, seen: ObservedRun) -> Iterator[Mismatch]:
    from rolerunner.spec_testing.shown_secrets import find_shown_secrets  # noqa: PLC0415 - few cases expect it

    shown = list(find_shown_secrets(case, seen.aws, seen.result, seen.output))
    if shown:
        yield Mismatch("secrets", "never shown", "\n".join(shown))


def matches_pattern(pattern: str, text: str) -> bool:
    """Returns True if the text contains the pattern; ``*`` matches anything."""
    return re.search(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def format_value(value: Any) -> str:
    """Returns a value as JSON, truncated to 500 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


_LONGEST = 500


def _compare_values(what: str, expected: Any, actual: Any, detail: str = "") -> Iterator[Mismatch]:
    if expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield Mismatch(what, format_value(expected), format_value(actual), detail)


def _found_in(what: str, pattern: Optional[str], text: str) -> Iterator[Mismatch]:
    if pattern is not None and not matches_pattern(pattern, text):
        yield Mismatch(
            what, f"a text with {format_value(pattern)}", format_value(text) if text else "no text"
        )


def _of_run(expect: Expectations, seen: ObservedRun) -> Iterator[Mismatch]:
    failed = [
        f"{step['id']}: {step['error']['type']}: {step['error']['message']}"
        for step in seen.result.get("steps", ())
        if step.get("error")
    ]
    detail = "\n".join(dict.fromkeys(failed)) if seen.result else "\n".join(seen.log[-_LAST_LINES:])
    if expect.run_status is not None:
        yield from _compare_values(
            "status",
            expect.run_status,
            seen.result.get("status", f"no result, exit status {seen.exit}"),
            detail,
        )
    if expect.exit is not None:
        yield from _compare_values("exit", expect.exit, seen.exit, detail)


_LAST_LINES = 5


def _of_step(name: str, expected: ExpectedStep, step: Mapping[str, Any]) -> Iterator[Mismatch]:
    what, error = f"steps.{name}", step.get("error") or {}
    detail = f"{error['type']}: {error['message']}" if error else ""
    if expected.status is not None:
        yield from _compare_values(
            f"{what}.status",
            expected.status,
            step.get("status", "no such step in the result"),
            detail,
        )
    yield from _found_in(f"{what}.error", expected.error, error.get("type", ""))
    yield from _found_in(f"{what}.message", expected.message, error.get("message", ""))
    yield from _found_in(f"{what}.hint", expected.hint, error.get("hint", ""))
    yield from _found_in(f"{what}.reason", expected.reason, step.get("reason", ""))
    if expected.attempts is not None:
        yield from _compare_values(f"{what}.attempts", expected.attempts, step.get("attempts", 0))
    outputs = step.get("outputs", {})
    if step.get("items"):
        yield from _of_group_outputs(what, expected.outputs, outputs)
        return
    for output, value in expected.outputs.items():
        yield from _compare_values(
            f"{what}.outputs.{output}", value, outputs.get(output, "no such output"), detail
        )


def _of_group_outputs(
    what: str, expected: Mapping[str, Any], outputs: Mapping[str, Any]
) -> Iterator[Mismatch]:
    """Compares some outputs of the steps of a group, each a list with a value for each item."""
    for name, values in expected.items():
        if not isinstance(values, dict):
            yield from _compare_values(f"{what}.outputs.{name}", values, outputs.get(name))
            continue
        for output, value in values.items():
            seen = outputs.get(name, {}).get(output, "no such output")
            yield from _compare_values(f"{what}.outputs.{name}.{output}", value, seen)


def find_steps(name: str, steps: Sequence[Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns the results that a name stands for; for a step of a group those of all items.

    A name without a result stands for an empty one.
    """
    wanted = StepId.parse(name)
    step: Mapping[str, Any] = next((each for each in steps if each["id"] == wanted.step), {})
    if not wanted.item and not wanted.inner:
        return [(name, step)]
    items = [
        item
        for position, item in enumerate(step.get("items", ()))
        if wanted.item in ("", item["item"], label_position(position))
    ]
    if not wanted.inner:
        return [(name, item) for item in items] or [(name, {})]
    found = [each for item in items for each in item["steps"]]
    named = [each for each in found if local_name(each["id"]) == wanted.inner]
    return [(each["id"], each) for each in named] or [(name, {})]


def _of_object(uri: S3Uri, wanted: ExpectedObject, case: Case, aws: Sandbox) -> Iterator[Mismatch]:
    account = next(bucket.account for bucket in case.world.buckets if bucket.name == uri.bucket)
    try:
        found = read_object(aws, uri, account)
    except UnreadableObject as error:
        yield Mismatch(f"objects.{uri}", "an object that can be read", str(error))
    else:
        yield from _of_content(f"objects.{uri}", wanted, found, case)


def _of_content(
    what: str, expected: ExpectedFile, found: Optional[Content], case: Case
) -> Iterator[Mismatch]:
    if expected.absent:
        if found is not None and found.names != ():
            yield Mismatch(what, "nothing there", found.summary())
    elif found is None:
        yield Mismatch(what, "something there", "nothing there")
    elif found.names is not None:
        yield from _of_names(what, expected, found.names)
    else:
        yield from _of_body(what, expected, found, case)
        for name in _STORED & expected.model_fields_set:
            yield from _compare_values(
                f"{what}.{name}", getattr(expected, name), found.stored.get(name)
            )


_STORED = {"content_type", "metadata", "tags", "encryption", "storage_class"}


def _of_names(what: str, expected: ExpectedFile, names: tuple[str, ...]) -> Iterator[Mismatch]:
    if expected.count is not None:
        yield from _compare_values(f"{what}.count", expected.count, len(names), format_value(names))
    if expected.names is not None:
        yield from _compare_values(f"{what}.names", sorted(expected.names), sorted(names))
    if expected.count is None and expected.names is None and not names:
        yield Mismatch(what, "something there", "nothing there")


def _of_body(what: str, expected: ExpectedFile, found: Content, case: Case) -> Iterator[Mismatch]:
    text = found.body.decode("utf-8", "backslashreplace")
    if expected.text is not None:
        yield from _compare_values(f"{what}.text", expected.text, text)
    yield from _found_in(f"{what}.contains", expected.contains, text)
    if expected.size is not None:
        yield from _compare_values(f"{what}.size", expected.size, len(found.body))
    if expected.gzip is not None:
        yield from _compare_values(f"{what}.gzip", expected.gzip, _decompress_text(found.body))
    if "json_" in expected.model_fields_set:
        yield from _compare_values(f"{what}.json", expected.json_, _parse_json(text))
    if expected.file is not None and case.near(expected.file).read_bytes() != found.body:
        yield Mismatch(
            f"{what}.file", f"the bytes of {expected.file}", f"{len(found.body)} other bytes"
        )


def _decompress_text(body: bytes) -> str:
    try:
        return gzip.decompress(body).decode("utf-8", "backslashreplace")
    except (OSError, EOFError, ValueError):
        return f"not gzip: {format_count(len(body), 'byte')}"


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return f"not JSON: {text}"


_EXPLAINING = ("iam", "GetRole")
"""Request that rolerunner sends only to explain a refusal; ignored if refused too."""


def _of_refusals(expected: list[ExpectedRefusal], case: Case, aws: Sandbox) -> Iterator[Mismatch]:
    refused = [
        each
        for each in aws.requests()
        if each.is_refused and not each.is_admin and (each.service, each.operation) != _EXPLAINING
    ]
    for refusal in expected:
        if not any(_is_expected(refusal, request, case) for request in refused):
            wanted = " ".join(
                part
                for part in (
                    refusal.role,
                    refusal.operation,
                    _join_place(refusal.bucket, refusal.key),
                )
                if part != "*/*"
            )
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
