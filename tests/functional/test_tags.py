"""``s3.tag`` on objects, versions and lists: what it writes, what it leaves, what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import object_steps
from tests.object_steps import HERE, run_step, run_steps, survey_step

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

WORLD = object_steps.WORLD
ENGINES = pytest.mark.parametrize("engine", ["fast", "boto3"])


@pytest.fixture
def s3(aws: Sandbox) -> Any:
    client = aws.client("s3", HERE)
    for key in ("in/a", "in/b", "in/sub/c"):
        client.put_object(Bucket="ours", Key=key, Body=b"x", Tagging="old=1&keep=2")
    return client


def read_tags(s3: Any, key: str, bucket: str = "ours", **more: str) -> dict[str, str]:
    found = s3.get_object_tagging(Bucket=bucket, Key=key, **more)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


@ENGINES
def test_set_replaces_all_tags(aws: Sandbox, s3: Any, tmp_path: Path, engine: str) -> None:
    done = run_step(
        aws, tmp_path, "s3.tag", source="s3://ours/in/", set={"new": "ü 1"}, engine=engine
    )
    assert (done.status, done.outputs["count"], done.outputs["skipped"]) == ("succeeded", 3, 0)
    assert read_tags(s3, "in/a") == read_tags(s3, "in/sub/c") == {"new": "ü 1"}
    emptied = run_step(aws, tmp_path, "s3.tag", source="s3://ours/in/a", set={}, engine=engine)
    assert emptied.outputs["count"] == 1
    assert read_tags(s3, "in/a") == {}


@ENGINES
def test_add_and_remove_keep_the_other_tags(
    aws: Sandbox, s3: Any, tmp_path: Path, engine: str
) -> None:
    fields: dict[str, Any] = {
        "source": "s3://ours/in/", "include": ["*"], "add": {"new": "3"}, "remove": ["old", "none"],
    }  # fmt: skip
    done = run_step(aws, tmp_path, "s3.tag", engine=engine, **fields)
    assert (done.outputs["count"], done.outputs["bytes"]) == (2, 2)
    assert read_tags(s3, "in/a") == {"keep": "2", "new": "3"}
    assert read_tags(s3, "in/sub/c") == {"old": "1", "keep": "2"}  # the filter leaves it out
    again = run_step(aws, tmp_path, "s3.tag", engine=engine, **fields)
    assert (again.outputs["count"], again.outputs["skipped"]) == (0, 2)
    assert sorted(info.key for info in again.outputs["objects"]) == ["in/a", "in/b"]


def test_an_eleventh_tag_fails_its_object_alone(aws: Sandbox, s3: Any, tmp_path: Path) -> None:
    full = "&".join(f"t{number}=x" for number in range(10))
    s3.put_object(Bucket="ours", Key="in/b", Body=b"x", Tagging=full)
    fields: dict[str, Any] = {"source": "s3://ours/in/", "add": {"new": "1"}}
    failed = run_step(aws, tmp_path, "s3.tag", **fields)
    assert (failed.status, failed.error.type) == ("failed", "TooManyTags")  # type: ignore[union-attr]
    assert "s3://ours/in/b: would have 11 tags" in failed.error.message  # type: ignore[union-attr]
    tolerated = run_step(aws, tmp_path, "s3.tag", **fields, max_failures=1)
    assert (tolerated.status, tolerated.outputs["skipped"]) == ("warning", 2)
    assert len(read_tags(s3, "in/b")) == 10


@ENGINES
def test_versions_and_listed_versions(aws: Sandbox, tmp_path: Path, engine: str) -> None:
    s3 = aws.client("s3", HERE)
    key = f"{engine}/a"
    first = s3.put_object(Bucket="kept", Key=key, Body=b"x")["VersionId"]
    s3.delete_object(Bucket="kept", Key=key)  # a delete marker, which has no tags
    versions = [first, s3.put_object(Bucket="kept", Key=key, Body=b"x")["VersionId"]]
    source = f"s3://kept/{engine}/"
    done = run_step(
        aws, tmp_path, "s3.tag", source=source, versions=True, add={"n": "1"}, engine=engine
    )
    assert (done.error, done.outputs.get("count")) == (None, 2)
    assert [read_tags(s3, key, "kept", VersionId=each) for each in versions] == [{"n": "1"}] * 2
    _, tagged = run_steps(
        aws,
        tmp_path,
        {"id": "find", "action": "s3.list", "source": source, "versions": True},
        {"action": "s3.tag", "objects": "${{ steps.find.objects }}", "set": {"n": "2"}},
        engine=engine,
    )
    assert tagged.outputs["count"] == 2
    assert read_tags(s3, key, "kept", VersionId=versions[0]) == {"n": "2"}


def test_a_missing_object_fails_and_a_named_one_gets_no_version(
    aws: Sandbox, s3: Any, tmp_path: Path
) -> None:
    s3.put_object(Bucket="kept", Key="named", Body=b"x")
    done = run_step(
        aws,
        tmp_path,
        "s3.tag",
        objects=["s3://kept/named", "s3://ours/none"],
        set={"n": "1"},
        max_failures=1,
    )
    assert (done.status, done.outputs["count"]) == ("warning", 1)
    assert read_tags(s3, "named", "kept") == {"n": "1"}


def test_the_survey_counts_and_changes_nothing(aws: Sandbox, s3: Any, tmp_path: Path) -> None:
    seen = survey_step(aws, tmp_path, "s3.tag", source="s3://ours/in/", set={"n": "1"})
    assert seen["count"] == 3
    assert read_tags(s3, "in/a") == {"old": "1", "keep": "2"}
