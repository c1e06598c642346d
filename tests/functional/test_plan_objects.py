"""``rolerunner plan --live --objects``: a line for each object, and nothing is changed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.cli.plan import format_plan
from tests.conftest import identity_of
from tests.exact_roles import ROLES, WORLD, Job, open_job

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WORLD"]


@pytest.fixture(params=["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def job(request: pytest.FixtureRequest, aws: sandbox.Sandbox, tmp_path: Path) -> Job:
    return open_job(aws, tmp_path, str(request.param))


def state(job: Job) -> list[Any]:
    return [
        [(each["Key"], each["VersionId"]) for each in found.get("Versions", ())]
        for found in (
            job.s3.list_object_versions(Bucket=bucket)
            for bucket in ("ops-bucket", "landing", "archive")
        )
    ]


def preview(job: Job, action: str, **fields: Any) -> list[tuple[str, ...]]:
    """Returns what would be done, the object, the reason, and the backup if there is one."""
    plan = api.plan(job.load(action, **fields))
    job.grant(plan)
    before = state(job)
    lines: list[str] = []
    counts = api.preview_objects(plan, lines.append, identity_of(job.aws))
    assert state(job) == before
    read = [json.loads(line) for line in lines]
    assert sum(counts["it"].values()) == len(read)
    assert {(each["step"], each["action"]) for each in read} <= {("it", action)}
    names = ("does", "object", "reason", "backup", "then")
    return [tuple(each[name] for name in names if name in each) for each in read]


def test_copy_that_mirrors_with_a_backup(job: Job) -> None:
    for key, text in (("a", "same"), ("b", "new"), ("c", "c"), ("d.tmp", "x")):
        job.put(f"s3://landing/in/{key}", text)
    for key, text in (("a", "same"), ("b", "old b"), ("extra", "x")):
        job.put(f"s3://archive/{key}", text)
    lines = preview(
        job, "s3.copy", source="s3://landing/in/", target="s3://archive/", exclude=["*.tmp"],
        if_exists="skip_same", backup="s3://ops-bucket/kept/", role="writer",
    )  # fmt: skip
    assert lines == [
        ("skip", "s3://landing/in/d.tmp", "the filters leave it out"),
        ("skip", "s3://archive/a", "it is the same"),
        ("send", "s3://archive/b", "it exists and differs", "s3://ops-bucket/kept/b"),
        ("send", "s3://archive/c", "it does not exist"),
    ]
    mirror = {"target": "s3://archive/in/", "delete_extra": True, "role": "writer"}
    job.put("s3://archive/in/extra")
    lines = preview(
        job, "s3.copy", source="s3://landing/in/", backup="s3://ops-bucket/kept/", max_delete=1,
        **mirror,
    )  # fmt: skip
    assert lines[-1] == (
        "delete", "s3://archive/in/extra", "the source does not have it",
        "s3://ops-bucket/kept/extra",
    )  # fmt: skip
    assert [line[0] for line in lines] == ["send", "send", "send", "send", "delete"]


def test_move_between_two_roles(job: Job) -> None:
    job.put("s3://landing/in/a")
    lines = preview(
        job, "s3.copy", source="s3://landing/in/", target="s3://archive/", move=True,
        source_role="reader", target_role="writer",
    )  # fmt: skip
    assert lines == [
        ("send", "s3://archive/a", "'if_exists' is overwrite", "the source is deleted")
    ]


def test_upload_and_download(job: Job) -> None:
    (job.folder / "files").mkdir()
    for name in ("a", "b"):
        (job.folder / "files" / name).write_text(name)
        job.put(f"s3://landing/in/{name}", name)
    job.put("s3://archive/a", "a")
    uploads = preview(
        job, "s3.upload", source=f"{job.folder}/files/", target="s3://archive/", role="writer",
        if_exists="skip",
    )  # fmt: skip
    assert uploads == [
        ("skip", f"{job.folder}/files/a", "it exists"),
        ("send", "s3://archive/b", "it does not exist"),
    ]
    (job.folder / "files/b").write_text("other")
    (job.folder / "files/extra").write_text("extra")
    downloads = preview(
        job, "s3.download", source="s3://landing/in/", target=f"{job.folder}/files/",
        role="reader", if_exists="skip_same", delete_extra=True, max_delete=1,
    )  # fmt: skip
    assert downloads == [
        ("skip", f"{job.folder}/files/a", "it is the same"),
        ("send", f"{job.folder}/files/b", "it exists and differs"),
        ("delete", f"{job.folder}/files/extra", "the source does not have it"),
    ]
    assert sorted(os.listdir(job.folder / "files")) == ["a", "b", "extra"]


def test_deletion_of_listed_objects_and_too_many(job: Job) -> None:
    for key in "ab":
        job.put(f"s3://landing/{key}")
    (job.folder / "list").write_text("a\nmissing\n")
    objects = {"from": str(job.folder / "list"), "prefix": "s3://landing/"}
    fields = {"objects": objects, "role": "writer"}
    lines = preview(job, "s3.delete", **fields, max_delete=2, backup="s3://archive/")
    assert [line[:2] for line in lines] == [
        ("fail", "s3://landing/missing"),
        ("delete", "s3://landing/a"),
    ]
    [(does, reason)] = preview(job, "s3.delete", **fields, max_delete=1)
    assert does == "fail"
    assert "2 objects would be deleted, but 'max_delete' is 1" in reason


@pytest.mark.parametrize(
    ("action", "fields", "does"),
    [
        ("s3.list", {}, "list"),
        ("s3.tag", {"set": {"a": "b"}}, "tag"),
        ("s3.pack", {"target": "s3://archive/x.tar"}, "pack"),
        ("s3.concat", {"target": "s3://archive/x"}, "concatenate"),
        ("s3.restore", {"days": 1}, "restore"),
    ],
)
def test_other_actions_name_what_they_use(
    job: Job, action: str, fields: dict[str, Any], does: str
) -> None:
    job.put("s3://landing/in/a")
    lines = preview(job, action, source="s3://landing/in/", role="writer", **fields)
    assert [line[:2] for line in lines] == [(does, "s3://landing/in/a")]


def test_step_whose_source_is_empty_has_one_line(job: Job) -> None:
    [(does, reason)] = preview(job, "s3.list", source="s3://landing/none/", role="writer")
    assert (does, "there is nothing in") == ("fail", reason[:19])


GROUP = {
    "id": "partners",
    "for_each": [{"name": "north", "role": "reader"}, {"name": "south", "role": "writer"}],
    "steps": [
        {
            "id": "find",
            "action": "s3.list",
            "role": "${{ item.role }}",
            "source": "s3://landing/of-${{ item.name }}/",
        },
        {
            "id": "remove",
            "action": "s3.delete",
            "role": "writer",
            "source": "s3://landing/of-${{ item.name }}/",
            "max_delete": 9,
        },
        {
            "id": "fetch",
            "action": "s3.download",
            "role": "reader",
            "objects": "${{ steps.find.objects }}",
            "target": "/tmp/none/",
        },
    ],
}
LATER = {
    "id": "later",
    "for_each": "${{ steps.partners.find.objects }}",
    "action": "s3.list",
    "role": "reader",
    "source": "s3://landing/",
}


def test_the_steps_of_a_group_are_looked_at_for_each_known_item(job: Job) -> None:
    for key, text in (("of-north/a", "abc"), ("of-north/b", "d"), ("of-south/a", "ef")):
        job.put(f"s3://landing/{key}", text)
    path = job.folder / "job.yaml"
    document = {"version": 1, "name": "t", "engine": job.engine, "roles": ROLES}
    path.write_text(json.dumps({**document, "steps": [GROUP, LATER]}))
    plan = api.plan(api.load(path))
    job.grant(plan)
    identity = identity_of(job.aws)
    found = api.survey(plan, identity)
    assert found["partners.find"] == {
        "count": 3,
        "bytes": 6,
        "items": {"north": {"count": 2, "bytes": 4}, "south": {"count": 1, "bytes": 2}},
    }
    assert found["partners.fetch"]["unknown"] == (
        "north: it depends on the outputs of earlier steps, and 1 more"
    )
    assert found["later"] == {"unknown": "its items are known only during the run"}
    shown = format_plan(plan, found)
    assert "source: s3://landing/of-south/" in shown
    assert "now: 1 object, 2 bytes" in shown
    lines: list[str] = []
    counts = api.preview_objects(plan, lines.append, identity)
    assert counts["partners.remove"] == {"delete": 3}
    removed = [each for each in map(json.loads, lines) if each["step"] == "partners.remove"]
    assert [each["item"] for each in removed] == ["north", "north", "south"]
    assert counts["partners.fetch"] == {"unknown": 2}
    assert counts["later"] == {"unknown": 1}
