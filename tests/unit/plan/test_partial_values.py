"""Permissions of values unknown before the run: never too few, and widened ones are noted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api

if TYPE_CHECKING:
    from pathlib import Path

ROLE = "arn:aws:iam::111122223333:role/r"
BEFORE = '{id: code, action: python.call, function: "somewhere.else:code"}'


def planned(tmp_path: Path, before: str = BEFORE, **step: Any) -> Any:
    path = tmp_path / "job.yaml"
    text = json.dumps({"id": "it", "role": ROLE, **step})
    path.write_text(
        "version: 1\nname: t\nparams: {day: {type: date, default: 2026-01-01}, "
        f"flag: {{type: boolean, default: true}}}}\nsteps:\n  - {before}\n  - {text}\n"
    )
    return api.plan(api.load(path)).steps[-1]


def needed(tmp_path: Path, role: str = "role", **step: Any) -> set[tuple[str, str]]:
    return {
        (each.action, each.resource.replace("arn:aws:s3:::", ""))
        for each in planned(tmp_path, **step).permissions[role]
    }


CODE = "${{ steps.code.result }}"


@pytest.mark.parametrize(
    ("source", "listed", "read"),
    [
        ("s3://bucket/${{ params.day }}/", "bucket", "bucket/2026-01-01/*"),
        ("s3://bucket/${{ params.day }}/${{ run.id }}/x/", "bucket", "bucket/2026-01-01/*/x/*"),
        ("s3://bucket-${{ run.name }}/${{ today }}/", "bucket-t", "bucket-t/*/*"),
        (f"s3://bucket-{CODE}/in/", "bucket-*", "bucket-*/in/*"),
        (CODE, "*", "*/*"),
    ],
)
def test_a_place_that_is_not_known(source: str, listed: str, read: str, tmp_path: Path) -> None:
    found = needed(tmp_path, action="s3.download", source=source, target="/tmp/x/")
    assert {("s3:ListBucket", listed), ("s3:GetObject", read)} <= found


def test_what_is_known_is_not_noted_and_what_is_not_is(tmp_path: Path) -> None:
    assert planned(tmp_path, action="s3.list", source="s3://bucket/${{ params.day }}/").notes == ()
    (note,) = planned(
        tmp_path, action="s3.list", source="s3://bucket/${{ params.day }}/${{ run.id }}/"
    ).notes
    assert (
        note
        == "source: s3://bucket/${{ params.day }}/${{ run.id }}/ is known only during the run; "
        "permissions are for s3://bucket/2026-01-01/*/"
    )


def test_objects_that_are_not_known_are_any(tmp_path: Path) -> None:
    step = planned(tmp_path, action="s3.delete", objects=CODE, max_delete=1)
    assert {(each.action, each.resource) for each in step.permissions["role"]} == {
        ("s3:DeleteObject", "arn:aws:s3:::*/*"), ("s3:DeleteObjectVersion", "arn:aws:s3:::*/*"),
    }  # fmt: skip
    assert step.notes == (
        f"objects: {CODE} is known only during the run; permissions are for s3://*/",
    )


def test_what_the_step_states_stands_in_for_anything(tmp_path: Path) -> None:
    stated = [
        {
            "actions": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "resources": "arn:aws:s3:::bucket/tmp/*",
        }
    ]
    assert needed(tmp_path, action="s3.delete", objects=CODE, max_delete=1, permissions=stated) == {
        ("s3:DeleteObject", "bucket/tmp/*"), ("s3:DeleteObjectVersion", "bucket/tmp/*"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"acl": CODE}, "s3:PutObjectAcl"),
        ({"if_exists": CODE}, "s3:GetObject"),
        ({"delete_extra": CODE, "max_delete": CODE}, "s3:DeleteObject"),
        ({"encryption": {"type": CODE, "key": CODE}}, "kms:GenerateDataKey"),
        ({"tags": {"a": CODE}}, "s3:PutObjectTagging"),
    ],
)
def test_an_option_that_is_not_known_asks_for_all_it_could(
    fields: dict[str, Any], action: str, tmp_path: Path
) -> None:
    assert action in {
        each
        for each, _ in needed(
            tmp_path, action="s3.upload", source="/tmp/x/", target="s3://bucket/out/", **fields
        )
    }


def test_each_item_that_is_known_has_its_permission(tmp_path: Path) -> None:
    assert needed(
        tmp_path, action="s3.read", for_each=["a", "b"], source="s3://bucket/${{ item }}.txt"
    ) >= {
        ("s3:GetObject", "bucket/a.txt"),
        ("s3:GetObject", "bucket/b.txt"),
    }
    assert needed(
        tmp_path, action="s3.read", for_each=CODE, source="s3://bucket/${{ item }}.txt"
    ) >= {("s3:GetObject", "bucket/*.txt")}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"action": "s3.list", "source": "s3://bucket/in/"}, {"s3:GetObject"}),
        (
            {"action": "s3.list", "source": "s3://bucket/in/", "versions": True},
            {"s3:GetObjectVersion"},
        ),
        (
            {"action": "s3.upload", "source": "/tmp/", "target": "s3://bucket/in/"},
            {"s3:GetObject", "s3:GetObjectVersion"},
        ),
    ],
)
def test_listed_objects_are_read_by_their_versions_where_they_name_them(
    step: dict[str, Any], expected: set[str], tmp_path: Path
) -> None:
    before = json.dumps({"id": "before", "role": ROLE, **step})
    found = needed(
        tmp_path,
        before=before,
        action="s3.download",
        objects="${{ steps.before.objects }}",
        target="/tmp/x/",
    )
    assert found == {(action, "bucket/in/*") for action in expected}


def test_a_function_says_what_it_needs_or_that_is_noted(tmp_path: Path) -> None:
    call = {"action": "python.call", "function": "somewhere.else:code"}
    assert planned(tmp_path, **call).notes == (
        "permissions cannot be derived; declare them under 'permissions'",
    )
    step = planned(
        tmp_path,
        **call,
        permissions=[{"actions": "sqs:SendMessage", "resources": f"arn:aws:sqs:*:*:{CODE}"}],
    )
    assert [(each.action, each.resource) for each in step.permissions["role"]] == [
        ("sqs:SendMessage", "arn:aws:sqs:*:*:*")
    ]
    assert step.notes == (
        (
            f"permissions: arn:aws:sqs:*:*:{CODE} is known only during the run; permissions "
            "are for arn:aws:sqs:*:*:*"
        ),
    )


def test_of_two_roles_the_one_that_is_said_has_it(tmp_path: Path) -> None:
    other = "arn:aws:iam::111122223333:role/other"
    step = planned(
        tmp_path, action="s3.copy", role=ROLE, target_role=other, source="s3://bucket/in/",
        target="s3://bucket/out/",
        permissions=[{"actions": "kms:Decrypt", "resources": "*", "role": "source_role"}],
    )  # fmt: skip
    assert "kms:Decrypt" in {each.action for each in step.permissions["source_role"]}
    assert "kms:Decrypt" not in {each.action for each in step.permissions["target_role"]}


def test_a_role_that_a_step_has_no_use_for_is_no_unknown_need(tmp_path: Path) -> None:
    step = planned(
        tmp_path,
        action="spark.sql",
        sources={"a": {"location": "s3://landing/orders/", "format": "csv"}},
        query="SELECT 1",
    )
    assert (list(step.permissions), step.notes) == (["source_role"], ())


def test_a_text_shows_what_is_known_of_it(tmp_path: Path) -> None:
    source = "s3://b/${{ params.day }}/${{ steps.code.result }}/"
    shown = planned(tmp_path, action="s3.list", source=source).fields["source"]
    assert str(shown) == "s3://b/2026-01-01/${{ steps.code.result }}/"
    assert [str(each) for each in shown.references] == ["steps.code.result"]
    whole = planned(tmp_path, action="s3.list", source="${{ steps.code.result }}")
    assert str(whole.fields["source"]) == "${{ steps.code.result }}"
