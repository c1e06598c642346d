"""Compares an observed run with the expectations of its case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.wording import format_count
from rolerunner.sandbox.messages import TARGET_SERVICES
from rolerunner.spec_testing.compare_contents import compare_content, compare_object
from rolerunner.spec_testing.compare_refusals import compare_refusals
from rolerunner.spec_testing.contents import read_file, read_partitions
from rolerunner.spec_testing.mismatches import (
    Mismatch,
    compare_values,
    find_pattern,
    format_value,
    matches_pattern,
)
from rolerunner.step_ids import StepId, label_position, local_name

if TYPE_CHECKING:
    from rolerunner.sandbox import Sandbox
    from rolerunner.spec_testing.case import Case
    from rolerunner.spec_testing.expectations import Expectations, ExpectedMessages, ExpectedStep


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
    yield from _of_places(case, seen)
    if expect.refusals is not None:
        yield from compare_refusals(expect.refusals, case, seen.aws)
    counts = seen.aws.assume_role_count() if expect.assume_role else {}
    for role, count in expect.assume_role.items():
        yield from compare_values(f"assume_role.{role}", count, counts.get(case.arn(role), 0))
    if expect.secrets is not None:
        yield from _of_secrets(case, seen)
    yield from _of_log(expect.messages.log, seen.log)
    yield from _of_messages(expect.messages, seen.aws)


def _of_places(case: Case, seen: ObservedRun) -> Iterator[Mismatch]:
    """Yields the differences of objects, files and partitions."""
    expect = case.fields.expect
    for uri, wanted in expect.objects.items():
        yield from compare_object(uri, wanted, case, seen.aws)
    for name, each in expect.files.items():
        yield from compare_content(
            f"files.{name}",
            each,
            read_file(case.folder / name, is_folder=name.endswith("/")),
            case,
        )
    for table, partitions in expect.partitions.items():
        wanted_values = sorted(partitions)
        yield from compare_values(
            f"partitions.{table}", wanted_values, read_partitions(table, seen.aws)
        )


def _of_log(patterns: Sequence[str], lines: Sequence[str]) -> Iterator[Mismatch]:
    for pattern in patterns:
        if not any(matches_pattern(pattern, line) for line in lines):
            yield Mismatch(
                "messages",
                f"a line with {format_value(pattern)}",
                f"none of {format_count(len(lines), 'line')}",
            )


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


def _of_run(expect: Expectations, seen: ObservedRun) -> Iterator[Mismatch]:
    failed = [
        f"{step['id']}: {step['error']['type']}: {step['error']['message']}"
        for step in seen.result.get("steps", ())
        if step.get("error")
    ]
    detail = "\n".join(dict.fromkeys(failed)) if seen.result else "\n".join(seen.log[-_LAST_LINES:])
    if expect.run_status is not None:
        yield from compare_values(
            "status",
            expect.run_status,
            seen.result.get("status", f"no result, exit status {seen.exit}"),
            detail,
        )
    if expect.exit is not None:
        yield from compare_values("exit", expect.exit, seen.exit, detail)


_LAST_LINES = 5


def _of_step(name: str, expected: ExpectedStep, step: Mapping[str, Any]) -> Iterator[Mismatch]:
    what, error = f"steps.{name}", step.get("error") or {}
    detail = f"{error['type']}: {error['message']}" if error else ""
    if expected.status is not None:
        yield from compare_values(
            f"{what}.status",
            expected.status,
            step.get("status", "no such step in the result"),
            detail,
        )
    yield from find_pattern(f"{what}.error", expected.error, error.get("type", ""))
    yield from find_pattern(f"{what}.message", expected.message, error.get("message", ""))
    yield from find_pattern(f"{what}.hint", expected.hint, error.get("hint", ""))
    yield from find_pattern(f"{what}.reason", expected.reason, step.get("reason", ""))
    if expected.attempts is not None:
        yield from compare_values(f"{what}.attempts", expected.attempts, step.get("attempts", 0))
    outputs = step.get("outputs", {})
    if step.get("items"):
        yield from _of_group_outputs(what, expected.outputs, outputs)
        return
    for output, value in expected.outputs.items():
        yield from compare_values(
            f"{what}.outputs.{output}", value, outputs.get(output, "no such output"), detail
        )


def _of_group_outputs(
    what: str, expected: Mapping[str, Any], outputs: Mapping[str, Any]
) -> Iterator[Mismatch]:
    """Compares some outputs of the steps of a group, each a list with a value for each item."""
    for name, values in expected.items():
        if not isinstance(values, dict):
            yield from compare_values(f"{what}.outputs.{name}", values, outputs.get(name))
            continue
        for output, value in values.items():
            seen = outputs.get(name, {}).get(output, "no such output")
            yield from compare_values(f"{what}.outputs.{name}.{output}", value, seen)


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
