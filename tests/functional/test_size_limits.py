"""Limits of bytes, and backups beside the objects, in both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from tests.functional.test_filter_rules import write_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Store


@pytest.fixture(params=["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, memory_aws: Store, tmp_path: Path) -> Callable[..., Any]:
    """Runs one step and returns its result; the source has objects of 10, 20 and 30 bytes."""
    for name, size in (("a", 10), ("b", 20), ("c", 30)):
        memory_aws.put("landing", f"in/{name}", name * size)

    def run_step(action: str, **fields: Any) -> Any:
        path = write_spec(tmp_path, request.param, {"action": action, **fields})
        return api.run(api.load(path)).steps[0]

    return run_step


def keys(store: Store) -> list[str]:
    return sorted(f"{bucket}/{key}" for bucket, key in store.objects)


@pytest.mark.parametrize(("size", "is_done"), [("60B", True), ("59B", False)])
def test_a_deletion_is_limited_in_bytes(
    size: str, is_done: bool, run: Any, memory_aws: Store
) -> None:
    step = run("s3.delete", source="s3://landing/in/", max_delete=9, max_delete_size=size)
    assert (keys(memory_aws) == []) is is_done
    assert (step.status == "succeeded") is is_done
    if step.error is not None:
        assert step.error.type == "MaxDelete"
        assert "3 objects of 60 bytes would be deleted" in step.error.message


def test_the_bytes_of_listed_keys_are_looked_up(
    run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("s3://landing/in/a\ns3://landing/in/c\n")
    listed = {"from": f"{tmp_path}/list.txt"}
    step = run("s3.delete", objects=listed, max_delete=9, max_delete_size="39B")
    assert (step.error.type, len(memory_aws.objects)) == ("MaxDelete", 3)
    assert "40 bytes" in step.error.message


@pytest.mark.parametrize("action", ["s3.copy", "s3.upload", "s3.download"])
def test_a_mirror_deletes_no_more_bytes_than_it_may(
    action: str, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    for folder, name in (("src", "a"), ("in", "a"), ("in", "old")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text("x" * 10)
    memory_aws.put("publish", "out/old", "x" * 10)
    places = {
        "s3.copy": {"source": "s3://landing/in/", "target": "s3://publish/out/"},
        "s3.upload": {"source": f"{tmp_path}/src/", "target": "s3://publish/out/"},
        "s3.download": {"source": "s3://landing/in/", "target": f"{tmp_path}/in/"},
    }[action]
    fields = {**places, "delete_extra": True, "max_delete": 5}
    step = run(action, max_delete_size="9B", **fields)
    assert (step.status, step.error.type) == ("failed", "MaxDelete")
    assert run(action, max_delete_size="10B", **fields).outputs["deleted"] == 1


@pytest.mark.parametrize("action", ["s3.copy", "s3.upload", "s3.download"])
def test_nothing_is_transferred_beyond_the_limit(
    action: str, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for name, size in (("a", 10), ("b", 20), ("c", 30)):
        (source / name).write_text(name * size)
    target = f"{tmp_path}/in/" if action == "s3.download" else "s3://publish/out/"
    fields = {
        "source": f"{source}/" if action == "s3.upload" else "s3://landing/in/",
        "target": target,
        "if_exists": "skip_same",
    }
    before = keys(memory_aws)
    refused = run(action, max_transfer="59B", **fields)
    assert (refused.status, refused.error.type) == ("failed", "MaxTransfer")
    assert "3 objects of 60 bytes would be transferred" in refused.error.message
    assert keys(memory_aws) == before
    assert not (tmp_path / "in").exists()
    assert run(action, max_transfer="60B", **fields).outputs["count"] == 3
    again = run(action, max_transfer="1B", **fields)
    assert (again.status, again.outputs["skipped"]) == ("succeeded", 3)


@pytest.mark.parametrize("below", ["", "s3://archive/kept/"])
def test_what_is_overwritten_is_kept_under_a_suffix(
    below: str, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    memory_aws.put("publish", "out/a", "was there")
    (tmp_path / "a").write_text("new")
    backup = {"backup_suffix": ".old", **({"backup": below} if below else {})}
    place = below or "s3://publish/out/"
    step = run("s3.copy", source="s3://landing/in/", target="s3://publish/out/", **backup)
    assert step.status == "succeeded"
    assert memory_aws.bodies()[f"{place}a.old"] == b"was there"
    assert len([key for key in keys(memory_aws) if key.endswith(".old")]) == 1
    single = run("s3.upload", source=f"{tmp_path}/a", target="s3://publish/out/b", **backup)
    assert single.status == "succeeded"
    assert memory_aws.bodies()[f"{place}b.old"] == b"b" * 20
    again = run("s3.upload", source=f"{tmp_path}/a", target="s3://publish/out/a", **backup)
    assert (again.status, again.error.type) == ("failed", "BackupExists")
    assert memory_aws.bodies()["s3://publish/out/a"] == b"a" * 10


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"action": "s3.delete", "source": "s3://abc/b/", "max_delete": 1,
             "backup_suffix": ".o"},
            "'backup_suffix' needs 'backup'",
        ),
        (
            {"action": "s3.copy", "source": "s3://abc/b/", "target": "s3://cde/",
             "backup_suffix": "x", "delete_extra": True, "max_delete": 1},
            "'backup_suffix' needs 'backup'",
        ),
        (
            {"action": "s3.copy", "source": "s3://abc/b/", "target": "s3://abc/b/",
             "storage_class": "STANDARD_IA", "backup_suffix": ".o"},
            "inside 'source'",
        ),
        (
            {"action": "s3.copy", "source": "s3://abc/", "target": "s3://cde/",
             "max_delete_size": 1},
            "'max_delete_size' goes with 'delete_extra'",
        ),
        (
            {"action": "s3.delete", "source": "s3://abc/b", "version": "v", "max_delete": 1,
             "max_delete_size": 1},
            "does not go with 'version'",
        ),
        (
            {"action": "s3.upload", "source": "/tmp", "target": "s3://abc/",
             "exclude_if_present": "a/b"},
            "is the name of a file",
        ),
    ],
)  # fmt: skip
def test_options_without_a_meaning_are_refused(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    problems = api.find_problems(write_spec(tmp_path, "fast", fields))
    assert any(message in each.message for each in problems), problems
