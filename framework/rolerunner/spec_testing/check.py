"""Validates the names in a case against its spec and its sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.model import RoleArn
from rolerunner.run.selection import find_name_mistake
from rolerunner.sandbox.messages import TARGET_SERVICES
from rolerunner.spec.step_order import STATUS
from rolerunner.spec.values import suggest_name
from rolerunner.step_ids import StepId, inner_id, local_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolerunner.model import Job, S3Uri
    from rolerunner.sandbox import World
    from rolerunner.spec.action_schema import ActionSchema
    from rolerunner.spec.document import Path as Place
    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec_testing.case import Case
    from rolerunner.spec_testing.expectations import ExpectedStep


def validate_case(
    case: Case, place: Place, reader: SpecReader, kinds: Mapping[str, type[ActionSchema]]
) -> None:
    """Reports every unknown name of a case."""
    _check_steps(case, place, reader, kinds)
    _check_roles(case, place, reader)
    _check_places(case, place, reader)
    _check_files(case, place, reader)
    _check_targets(case, place, reader)


def _check_targets(case: Case, place: Place, reader: SpecReader) -> None:
    """Reports names of targets that the sandbox does not have; each account has a bus default."""
    for kind in TARGET_SERVICES:
        arns = [target.arn for target in getattr(case.world, kind)]
        names = [arn.rpartition("event-bus/" if kind == "event_buses" else ":")[2] for arn in arns]
        known = [*names, *arns, *(["default"] if kind == "event_buses" else [])]
        for name in getattr(case.fields.expect.messages, kind):
            if name.startswith("arn:") and name.endswith(":event-bus/default"):
                continue
            at = (*place, "expect", "messages", kind, name)
            _check_known(name, known, kind[:-1].replace("_buse", " bus"), at, reader, key=True)


def _check_known(
    name: str,
    right: Iterable[str],
    what: str,
    place: Place,
    reader: SpecReader,
    *,
    key: bool = False,
) -> bool:
    names = list(right)
    if name in names:
        return True
    reader.add(
        place,
        f"there is no {what} '{name}'",
        suggest_name(name, names) or f"there are: {', '.join(names)}",
        key=key,
    )
    return False


def _check_steps(
    case: Case, place: Place, reader: SpecReader, kinds: Mapping[str, type[ActionSchema]]
) -> None:
    if case.job is None:
        return
    for index, name in enumerate(case.fields.only):
        _check_step_name(name, case.job, (*place, "only", index), reader)
    for name, expected in case.fields.expect.steps.items():
        at = (*place, "expect", "steps", name)
        if not _check_step_name(name, case.job, at, reader, key=True):
            continue
        _check_outputs(StepId.parse(name), expected, case.job, at, reader, kinds)
        if STATUS in expected.outputs:
            reader.add(
                (*at, "outputs", STATUS),
                "'status' is not an output",
                "write it beside 'outputs'",
                key=True,
            )


def _check_step_name(
    name: str, job: Job, place: Place, reader: SpecReader, *, key: bool = False
) -> bool:
    message, hint = find_name_mistake(job, name)
    if message:
        reader.add(place, message, hint, key=key)
    return not message


def _check_outputs(
    name: StepId,
    expected: ExpectedStep,
    job: Job,
    place: Place,
    reader: SpecReader,
    kinds: Mapping[str, type[ActionSchema]],
) -> None:
    """Reports outputs that a step, or an item or a step of a group, does not have."""
    step = next(each for each in job.steps if each.id == name.step)
    if step.steps and name.item and not name.inner and expected.model_fields_set != {"status"}:
        hint = f"write what its steps do under {name}.STEP"
        reader.add(place, f"the item '{name}' has only a status", hint, key=True)
        return
    if step.steps and not name.inner:
        for output in expected.outputs:
            at = (*place, "outputs", output)
            _check_step_name(inner_id(step.id, output), job, at, reader, key=True)
        return
    inner = next((each for each in step.steps if local_name(each.id) == name.inner), step)
    outputs = kinds[inner.action].outputs
    for output in expected.outputs if outputs is not None else ():
        at = (*place, "outputs", output)
        _check_known(output, outputs or (), f"output of {inner.action}", at, reader, key=True)


def _check_roles(case: Case, place: Place, reader: SpecReader) -> None:
    given, expect = case.fields.given, case.fields.expect
    in_sandbox = {role.arn for role in case.world.roles}
    for index, denial in enumerate(given.deny):
        at = (*place, "given", "deny", index, "role")
        if _check_role(denial.role, case, at, reader) and case.arn(denial.role) not in in_sandbox:
            reader.add(
                at,
                f"the sandbox has no role {case.arn(denial.role)}",
                suggest_name(case.arn(denial.role), in_sandbox),
            )
    for index, refusal in enumerate(expect.refusals or ()):
        _check_role(refusal.role, case, (*place, "expect", "refusals", index, "role"), reader)
    for name in expect.assume_role:
        _check_role(name, case, (*place, "expect", "assume_role", name), reader, key=True)


def _check_role(
    name: str, case: Case, place: Place, reader: SpecReader, *, key: bool = False
) -> bool:
    if name.startswith("arn:"):
        try:
            RoleArn.parse(name)
        except ValueError as error:
            reader.add(place, str(error), key=key)
            return False
        return True
    return _check_known(
        name,
        (*(case.job.roles if case.job is not None else ()), "job"),
        "role",
        place,
        reader,
        key=key,
    )


def _check_places(case: Case, place: Place, reader: SpecReader) -> None:
    buckets = [bucket.name for bucket in case.world.buckets]
    for uri in case.fields.given.objects:
        _check_known(
            uri.bucket, buckets, "bucket", (*place, "given", "objects", str(uri)), reader, key=True
        )
    for index, uri in enumerate(case.fields.given.without):
        at = (*place, "given", "without", index)
        if _check_known(uri.bucket, buckets, "bucket", at, reader) and not any(
            _is_of(uri, key) for key in _list_keys(case.world, uri.bucket)
        ):
            hint = suggest_name(uri.key, _list_keys(case.world, uri.bucket))
            reader.add(at, f"the sandbox has no {uri}", hint)
    for uri in case.fields.expect.objects:
        _check_known(
            uri.bucket,
            buckets,
            "bucket",
            (*place, "expect", "objects", str(uri)),
            reader,
            key=True,
        )


def _list_keys(world: World, bucket: str) -> list[str]:
    return [each.key for found in world.buckets if found.name == bucket for each in found.objects]


def _is_of(uri: S3Uri, key: str) -> bool:
    return key.startswith(uri.key) if uri.is_prefix else key == uri.key


def _check_files(case: Case, place: Place, reader: SpecReader) -> None:
    given, expect = case.fields.given, case.fields.expect
    references = [
        *(
            ((*place, "given", "objects", str(uri), "file"), each.file)
            for uri, each in given.objects.items()
        ),
        *(
            ((*place, "given", "files", name, "file"), each.file)
            for name, each in given.files.items()
        ),
        *(
            ((*place, "expect", "objects", str(uri), "file"), each.file)
            for uri, each in expect.objects.items()
        ),
        *(
            ((*place, "expect", "files", name, "file"), each.file)
            for name, each in expect.files.items()
        ),
    ]
    for at, file in references:
        if file is not None and not case.resolve_path(file).is_file():
            reader.add(at, f"there is no file '{case.resolve_path(file)}'")
