"""Keys of other tools and wrong versions: each error names the field to use instead."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.spec.loader import load_spec
from rolerunner.spec.misnomers import suggest_choice

HEAD = 'version: 1\nname: t\nroles: {reader: "arn:aws:iam::444455556666:role/reader"}\nsteps:\n'


def problems(text: str) -> list[Any]:
    with pytest.raises(SpecError) as caught:
        load_spec(text, "t.yaml", registry(), {})
    return list(caught.value.problems)


def hint_of(key: str, text: str) -> str:
    (hint,) = [each.hint for each in problems(text) if each.message == f"unknown key '{key}'"]
    return str(hint)


IN_SOURCE, IN_TARGET = "write source: s3://bucket/key", "write target: s3://bucket/key"
ENCRYPTION = "write encryption: {type: aws:kms, key: alias/NAME}"


@pytest.mark.parametrize(
    ("action", "key", "hint"),
    [
        ("s3.list", "bucket", IN_SOURCE),
        ("s3.list", "prefix", IN_SOURCE),
        ("s3.list", "output", "write 'inventory'"),
        ("s3.wait", "key", IN_SOURCE),
        ("s3.read", "Bucket", IN_SOURCE),
        ("s3.delete", "path", IN_SOURCE),
        ("s3.write", "key", IN_TARGET),
        ("s3.write", "dest", "write 'target'"),
        ("s3.write", "body", "write 'text'"),
        ("s3.upload", "bucket", IN_TARGET),
        ("s3.upload", "prefix", IN_TARGET),
        ("s3.upload", "src", "write 'source'"),
        ("s3.upload", "path", "write 'source'"),
        ("s3.upload", "destination", "write 'target'"),
        ("s3.upload", "sse", ENCRYPTION),
        ("s3.upload", "kms_key_id", ENCRYPTION),
        (
            "s3.upload",
            "overwrite",
            "write if_exists: overwrite, skip, skip_same, fail or fail_different",
        ),
        ("s3.upload", "StorageClass", "write 'storage_class'"),
        ("s3.upload", "content-type", "write 'content_type'"),
        ("s3.download", "key", IN_SOURCE),
        ("s3.download", "folder", "write 'target'"),
        ("s3.download", "to", "write 'target'"),
        ("s3.download", "sync", "write delete_extra: true, with max_delete"),
        ("s3.copy", "bucket", f"{IN_SOURCE} or target: s3://bucket/key"),
        ("s3.copy", "from", "write 'source'"),
        ("s3.copy", "to", "write 'target'"),
        ("s3.copy", "filter", "write include: ['**/*.csv']"),
        ("s3.copy", "ignore", "write exclude: ['**/*.tmp']"),
        ("python.call", "cmd", "write 'function'"),
        ("python.call", "run", "write 'function'"),
        ("python.call", "args", "write 'arguments'"),
        ("python.call", "with", "write 'arguments'"),
        ("aws.call", "with", "write 'parameters'"),
        ("aws.call", "args", "write 'parameters'"),
        ("aws.call", "api", "write 'operation'"),
        ("s3.download", "content_encoding", "this action stores no object"),
        ("s3.list", "cmd", "no step runs a shell"),
        ("s3.list", "with", "write the fields of an action at the same level as 'action'"),
        ("s3.list", "env", "declare 'params'"),
        ("s3.list", "region", "write it under 'roles'"),
    ],
)
def test_an_actions_field_is_named(action: str, key: str, hint: str) -> None:
    assert hint in hint_of(key, f"{HEAD}  - {{id: a, action: {action}, role: reader, {key}: x}}\n")


@pytest.mark.parametrize("action", ["s3.list", "s3.copy", "python.call", "aws.call"])
@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("depends_on", "write needs: [ID]"),
        ("dependsOn", "write needs: [ID]"),
        ("on", "write when: on_success, on_failure, always, or an expression"),
        ("if", "write when: on_success, on_failure, always, or an expression"),
        ("role_arn", "write role: an alias of 'roles', an ARN, or job"),
        ("uses", "write 'action'"),
        ("loop", "write 'for_each'"),
        ("retries", "write retry: {attempts: 3, delay: 2s}"),
        ("continue-on-error", "write on_error: continue"),
        ("timeout_seconds", "write timeout: 30m"),
        ("Timeout", "write 'timeout'"),
        ("step_id", "write 'id'"),
    ],
)
def test_a_field_of_every_step_is_named(action: str, key: str, hint: str) -> None:
    assert hint_of(key, f"{HEAD}  - {{id: a, action: {action}, role: reader, {key}: x}}\n") == hint


def test_the_name_of_a_step_is_no_name_for_its_objects() -> None:
    step = "role: reader, source: s3://bucket/in/, name: Fetch"
    list_step = f"{HEAD}  - {{id: a, action: s3.list, {step}}}\n"
    assert hint_of("name", list_step) == "write 'id'"
    (found,) = problems(f"{HEAD}  - {{id: a, action: s3.download, {step}, target: /tmp/x/}}\n")
    assert "a step itself is named by 'id'" in found.message


def test_a_step_of_another_tool_is_told_its_fields_without_an_action() -> None:
    found = problems(
        f"{HEAD}  - {{id: a, uses: actions/checkout@v4, run: make, if: always(), "
        "depends_on: [b]}\n"
    )
    assert {each.message for each in found} == {
        "'action' is missing",
        *(f"unknown key '{key}'" for key in ("uses", "run", "if", "depends_on")),
    }
    assert all(each.hint for each in found if each.message.startswith("unknown"))


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("roles: {r: {role_arn: x}}", "role_arn", "write 'arn'"),
        ("roles: {r: {externalId: x}}", "externalId", "write 'external_id'"),
        ("roles: {r: {session_duration: 1h}}", "session_duration", "write duration: 1h"),
        ("jobs: {}", "jobs", "write steps, a list of mappings with id and action"),
        ("on: push", "on", "write it under 'glue', as in glue: {schedule: cron("),
        ("variables: {}", "variables", "write params: {NAME: {type: string}}"),
        ("defaults: {retries: 3}", "retries", "write retry: {attempts: 3, delay: 2s}"),
        ("state: {bucket: x}", "bucket", "write location: s3://bucket/key"),
    ],
)
def test_fields_outside_of_steps_are_named(text: str, key: str, hint: str) -> None:
    step = "steps: [{id: a, action: s3.list, role: job, source: 's3://bucket/'}]"
    assert hint in hint_of(key, f"version: 1\nname: t\n{text}\n{step}\n")


def test_the_key_of_an_encryption_is_named() -> None:
    said = "target: s3://bucket/a, text: x, encryption: {type: aws:kms, kms_key_id: alias/x}"
    assert (
        hint_of("kms_key_id", f"{HEAD}  - {{id: a, action: s3.write, role: reader, {said}}}\n")
        == "write 'key'"
    )


WRONG_ELSEWHERE = "name: t t\nfuture: {}\nsteps:\n  - {id: a, action: s3.lst, role: job}\n"


@pytest.mark.parametrize("version", ["2", '"2"', "1.1", "[1]", "v1", "0", "{}"])
def test_another_version_is_the_only_mistake(version: str) -> None:
    (problem,) = problems(f"version: {version}\n{WRONG_ELSEWHERE}")
    assert problem.message.startswith("'version' must be 1, not ")
    assert (problem.mark.line, problem.mark.column) == (1, 10)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ('version: "1"', "'version' must be 1, not '1'"),
        ("version: 1.0", "'version' must be 1, not 1.0"),
        ("version: true", "'version' must be 1, not true"),
        ("version:", "'version' must be 1, not nothing"),
        ("# none", "'version' is missing"),
    ],
)
def test_a_version_that_is_easily_right_comes_first_of_all(first: str, message: str) -> None:
    found = problems(f"{first}\n{WRONG_ELSEWHERE}")
    assert found[0].message == message
    assert "version: 1" in found[0].hint
    assert len(found) > 3


@pytest.mark.parametrize(
    ("value", "choices", "hint"),
    [
        ("success", ("succeeded", "failed"), "write succeeded"),
        ("success", ("on_success", "on_failure"), "write on_success"),
        ("failure()", ("on_success", "on_failure", "always"), "write on_failure"),
        ("error", ("overwrite", "skip", "fail"), "write fail"),
        ("SSE-KMS", ("AES256", "aws:kms", "SSE-C"), "write aws:kms"),
        ("mtime", ("key", "size", "modified"), "write modified"),
        ("sizee", ("key", "size", "modified"), "did you mean 'size'?"),
        ("zzz", ("key", "size", "modified"), ""),
        (True, ("overwrite", "skip"), ""),
    ],
)
def test_the_choice_that_a_value_of_another_tool_means(
    value: object, choices: tuple[str, ...], hint: str
) -> None:
    assert suggest_choice(value, choices) == hint
