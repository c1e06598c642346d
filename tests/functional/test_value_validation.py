"""Values that S3 cannot accept are refused by validation, or before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.spec.loader import load_spec

if TYPE_CHECKING:
    from pathlib import Path

    from tests.memory_aws import Store

HEAD = """\
version: 1
name: t
params: {word: {type: string, default: ""}}
roles: {writer: "arn:aws:iam::444455556666:role/writer"}
steps:
"""
ACTIONS = {
    "s3.write": "target: s3://publish/a, text: x",
    "s3.upload": "source: /nowhere/, target: s3://publish/a/",
    "s3.copy": "source: s3://landing/a/, target: s3://publish/a/",
}
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
REFUSED = {
    "metadata: {user name: x}": "'user name' is not a metadata name",
    "metadata: {naïve: x}": "'naïve' is not a metadata name",
    "metadata: {x-amz-meta-run: x}": "write the name without x-amz-meta-",
    "metadata: {run: Zürich}": "'run' must contain ASCII characters only, not 'ü'",
    'metadata: {run: "a\\nb"}': "'run' must not contain a line break",
    'metadata: {run: "a\\u0007b"}': "'run' must not contain the control character U+0007",
    'metadata: {run: " a"}': "'run' must not begin or end with a space",
    "metadata: {run: x, Run: y}": "'run' and 'Run' are one name to S3",
    f"metadata: {{run: {'x' * 2000}, other: {'y' * 50}}}": (
        "'metadata' must have at most 2,048 bytes in all names and values, not 2,058"
    ),
    f"tags: {{{', '.join(f't{n}: x' for n in range(11))}}}": "must have at most 10 tags, not 11",
    f"tags: {{{'k' * 129}: x}}": "must have 1 to 128 characters as the key of a tag, not 129",
    'tags: {"": x}': "must have 1 to 128 characters as the key of a tag",
    f"tags: {{team: {'v' * 257}}}": (
        "'team' must have at most 256 characters as the value of a tag, not 257"
    ),
    "tags: {team: a&b}": (
        "'team' can contain letters, digits, spaces and + - = . _ : / @ as the value of a tag, "
        "not '&'"
    ),
    'tags: {"te#m": x}': "as the key of a tag, not '#'",
    'tags: {"AWS:team": x}': "must not begin with aws:",
    "storage_class: STANDRD_IA": "did you mean 'STANDARD_IA'?",
    "storage_class: glacier": "did you mean 'GLACIER'?",
    "checksum: sha256": "did you mean 'SHA256'?",
    "acl: bucket_owner_full_control": "did you mean 'bucket-owner-full-control'?",
    'content_type: "text/csv\\r\\nx-evil: 1"': "'content_type' must not contain a line break",
    "content_type: текст": "'content_type' must contain ASCII characters only",
    'cache_control: "max-age=1\\n"': "'cache_control' must not contain a line break",
    "encryption: {type: aws:kms, key: orders}": (
        "'key' must be a KMS key's id, its ARN, alias/NAME or an alias's ARN, "
        "not 'orders'; an alias is written alias/orders"
    ),
    "encryption: {type: aws:kms, key: arn:aws:iam::111122223333:role/x}": (
        "'key' must be a KMS key's id"
    ),
    "encryption: {type: aws:kms, key: alias/a b}": "'key' must be a KMS key's id",
}
TAKEN = (
    "metadata: {run: a b, X_y.z: '', n: 'caf%C3%A9'}",
    "tags: {team: Zürich + @home, 'a/b:c=d': '', Team: x}",
    "storage_class: DEEP_ARCHIVE",
    "content_type: 'text/csv; charset=utf-8'",
    "cache_control: 'max-age=60, public'",
    "acl: private",
    f"encryption: {{type: aws:kms, key: {KEY_ID}}}",
    f"encryption: {{type: aws:kms, key: mrk-{'0' * 32}}}",
    f"encryption: {{type: aws:kms, key: 'arn:aws-cn:kms:cn-north-1:111122223333:key/{KEY_ID}'}}",
    "encryption: {type: aws:kms, key: 'arn:aws:kms:eu-west-1:111122223333:alias/orders'}",
    "encryption: {type: aws:kms, key: alias/orders/2}",
    f"metadata: {{run: {'x' * 2045}}}",
    "metadata: {run: '${{ run.id }}', e: '${{ run.error }}'}",
    "tags: {run: '${{ run.id }}'}",
)


def list_problems(text: str) -> list[Any]:
    try:
        load_spec(text, "t.yaml", registry(), {})
    except SpecError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("fields", REFUSED)
def test_what_s3_cannot_take_is_refused_with_its_place(action: str, fields: str) -> None:
    (problem,) = list_problems(
        f"{HEAD}  - {{id: put, action: {action}, role: writer, {ACTIONS[action]}, {fields}}}\n"
    )
    assert REFUSED[fields] in str(problem)
    assert problem.mark.line == 6
    assert problem.mark.column > len("  - {id: put, action: s3.copy, role: writer, ")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("fields", TAKEN)
def test_what_s3_takes_is_taken(action: str, fields: str) -> None:
    assert (
        list_problems(
            f"{HEAD}  - {{id: put, action: {action}, role: writer, {ACTIONS[action]}, {fields}}}\n"
        )
        == []
    )


def test_all_mistakes_come_at_once_each_at_its_own_place() -> None:
    step = """\
  - id: put
    action: s3.write
    role: writer
    target: s3://publish/a
    text: x
    storage_class: COLD
    metadata:
      user name: x
      run: "a\\nb"
    tags:
      team: "#1"
"""
    assert [(each.mark.line, each.mark.column) for each in list_problems(HEAD + step)] == [
        (11, 20),
        (13, 7),
        (14, 12),
        (16, 13),
    ]


@pytest.mark.parametrize("field", ["target", "source"])
def test_a_key_longer_than_s3_takes_is_refused(field: str) -> None:
    other = {"target": "source: s3://bucket/x/", "source": "target: s3://bucket/x/"}[field]
    for key, refused in (("k" * 1024, False), ("k" * 1025, True), ("ü" * 513, True)):
        found = list_problems(
            f"{HEAD}  - {{id: put, action: s3.copy, role: writer, {other}, "
            f"{field}: s3://bucket/{key}}}\n"
        )
        assert [f"'{field}' has a key of" in str(each) for each in found] == (
            [True] if refused else []
        )


def test_a_date_of_an_api_call_must_be_one() -> None:
    call = "action: aws.call, role: writer, service: s3, operation: PutObject"
    for text, refused in (
        ("soon", True),
        ("2026-01-31T06:00:00Z", False),
        ("Wed, 21 Oct 2026 07:28:00 GMT", False),
    ):
        found = list_problems(
            f"{HEAD}  - {{id: put, {call}, parameters: {{Bucket: b, Key: k, Expires: '{text}'}}}}\n"
        )
        assert ["'parameters.Expires' must be a date or time" in str(each) for each in found] == (
            [True] if refused else []
        )


@pytest.mark.parametrize("engine", ["fast", "boto3"])
@pytest.mark.parametrize(
    ("fields", "word", "message"),
    [
        ("metadata: {run: '${{ params.word }}'}", "a\nb", "'run' must not contain a line break"),
        (
            "metadata: {run: '${{ params.word }}'}",
            "x" * 3000,
            "'metadata' must have at most 2,048 bytes",
        ),
        ("tags: {run: '${{ params.word }}'}", "a#b", "'run' can contain letters"),
        (
            "content_type: '${{ params.word }}'",
            "té/xt",
            "'content_type' must contain ASCII characters only",
        ),
        ("storage_class: '${{ params.word }}'", "COLD", "'storage_class' must be one of"),
        (
            "encryption: {type: aws:kms, key: '${{ params.word }}'}",
            "my key",
            "'key' must be a KMS key's id",
        ),
    ],
)
def test_what_is_known_at_run_only_is_refused_before_the_first_request(
    engine: str, fields: str, word: str, message: str, memory_aws: Store, tmp_path: Path
) -> None:
    """The value comes from an object that a step before has read."""
    memory_aws.put("landing", "word", word)
    memory_aws.put("landing", "a/x", "x")
    fields = fields.replace("params.word", "steps.read.text")
    steps = "".join(
        (
            f"  - {{id: put{number}, action: {action}, role: writer, {said}, {fields}, "
            "on_error: continue}\n"
        )
        for number, (action, said) in enumerate(ACTIONS.items())
    ).replace("/nowhere/", f"{tmp_path}/")
    text = (
        HEAD.replace("name: t", f"name: t\nengine: {engine}")
        + "  - {id: read, action: s3.read, role: writer, source: s3://landing/word}\n"
        + steps
    )
    (tmp_path / "spec.yaml").write_text(text)
    result = api.run(api.load(tmp_path / "spec.yaml"))
    assert [step.status for step in result.steps] == ["succeeded", "failed", "failed", "failed"]
    for step in result.steps[1:]:
        assert step.error is not None
        assert (step.error.type, message in step.error.message) == ("FieldError", True), step.error
    assert {request.bucket for request in memory_aws.requests} <= {"landing", ""}
    assert memory_aws.requests_of("PUT") == []


def test_permissions_do_not_shrink_where_a_value_is_known_at_run_only() -> None:
    said = (
        "tags: {run: '${{ run.id }}'}, metadata: {run: '${{ run.id }}'}, "
        "encryption: {type: aws:kms, key: '${{ steps.read.text }}'}"
    )
    text = (
        f"{HEAD}  - {{id: read, action: s3.read, role: writer, source: s3://landing/key}}\n"
        f"  - {{id: put, action: s3.write, role: writer, {ACTIONS['s3.write']}, {said}}}\n"
    )
    plan = api.plan(load_spec(text, "t.yaml", registry(), {}))
    assert {"s3:PutObject", "s3:PutObjectTagging", "kms:GenerateDataKey"} <= {
        each.action for each in plan.steps[1].permissions["role"]
    }


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ('{"aws:team": x}', "AWS reserves keys that begin with aws:"),
        ("{team: a#b}", "as the value of a tag, not '#'"),
        ('{"te&m": x}', "as the key of a tag, not '&'"),
    ],
)
def test_session_tags_that_sts_cannot_take_are_refused(tags: str, message: str) -> None:
    role = f"{{arn: 'arn:aws:iam::444455556666:role/writer', tags: {tags}}}"
    step = "steps: [{id: a, action: s3.list, role: writer, source: 's3://landing/'}]"
    (problem,) = list_problems(f"version: 1\nname: t\nroles:\n  writer: {role}\n{step}\n")
    assert message in problem.message
    assert problem.mark.line == 4
