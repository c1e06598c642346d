"""Ordered filters, globs without regard to case, folders with a marker, in both engines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Store

WRITER = "arn:aws:iam::444455556666:role/writer"
KEYS = ("audit.log", "b.LOG", "d/audit.log", "d/c.csv", "d/e.log")
RULES = [{"include": "**/audit.log"}, {"exclude": "**/*.log"}]


def write_spec(folder: Path, engine: str, *steps: dict[str, Any]) -> Path:
    path = folder / "job.yaml"
    named = [{"id": f"it{n}", "role": "writer", **step} for n, step in enumerate(steps)]
    spec = {"name": "t", "engine": engine, "roles": {"writer": WRITER}, "steps": named}
    path.write_text(json.dumps({"version": 1, **spec}))
    return path


@pytest.fixture(params=["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, memory_aws: Store, tmp_path: Path) -> Callable[..., Any]:
    """Runs one step and returns its result."""
    for key in KEYS:
        memory_aws.put("landing", f"in/{key}", key)

    def run_step(action: str, **fields: Any) -> Any:
        path = write_spec(tmp_path, request.param, {"action": action, **fields})
        return api.run(api.load(path)).steps[0]

    return run_step


def stored(store: Store) -> list[str]:
    return sorted(key[4:] for bucket, key in store.objects if bucket == "publish")


def test_the_first_rule_that_matches_decides(run: Any, memory_aws: Store, tmp_path: Path) -> None:
    expected = ["audit.log", "b.LOG", "d/audit.log", "d/c.csv"]
    copied = run("s3.copy", source="s3://landing/in/", target="s3://publish/out/", filters=RULES)
    assert (copied.status, stored(memory_aws)) == ("succeeded", expected)
    target = tmp_path / "in"
    run("s3.download", source="s3://landing/in/", target=f"{target}/", filters=RULES)
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert found == expected
    memory_aws.objects.clear()
    uploaded = run("s3.upload", source=f"{target}/", target="s3://publish/out/", filters=RULES[1:])
    assert (uploaded.status, stored(memory_aws)) == ("succeeded", ["b.LOG", "d/c.csv"])


def test_case_is_ignored_on_request(run: Any, memory_aws: Store) -> None:
    fields = {"source": "s3://landing/in/", "exclude": ["**/*.LOG"], "ignore_case": True}
    assert run("s3.copy", target="s3://publish/out/", **fields).status == "succeeded"
    assert stored(memory_aws) == ["d/c.csv"]


def test_a_mirror_keeps_what_a_marker_leaves_out(
    run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    for name in ("a.csv", "tmp/.no-upload", "tmp/deep/b.csv"):
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_text("x")
    for key in ("out/tmp/deep/b.csv", "out/old.csv"):
        memory_aws.put("publish", key, "was there")
    fields = {"exclude_if_present": ".no-upload", "delete_extra": True, "max_delete": 1}
    step = run("s3.upload", source=f"{tmp_path}/src/", target="s3://publish/out/", **fields)
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 1)
    assert stored(memory_aws) == ["a.csv", "tmp/deep/b.csv"]
    assert memory_aws.bodies()["s3://publish/out/tmp/deep/b.csv"] == b"was there"


def test_an_unreadable_folder_is_left_out_only_for_certain(
    run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    """A link that leads nowhere stands for it: root can read every folder."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.csv").write_text("x")
    (tmp_path / "src/lost").symlink_to("nowhere")
    places = {"source": f"{tmp_path}/src/", "target": "s3://publish/out/"}
    rules = [{"include": "lost/a.csv"}, {"exclude": "lost*"}]
    assert run("s3.upload", filters=rules, **places).status == "failed"
    assert run("s3.upload", filters=rules[1:], **places).status == "succeeded"
    assert stored(memory_aws) == ["a.csv"]


@pytest.mark.parametrize(
    ("rules", "is_refused"),
    [
        ([{"exclude": "out/**"}, {"include": "**/*.csv"}], False),
        ([{"include": "**/*.csv"}, {"exclude": "out/**"}], True),
    ],
)
def test_a_target_inside_the_source_needs_a_leading_exclude(
    rules: list[dict[str, str]], is_refused: bool, tmp_path: Path
) -> None:
    places = {"source": "s3://landing/", "target": "s3://landing/out/"}
    path = write_spec(tmp_path, "fast", {"action": "s3.copy", "filters": rules, **places})
    problems = api.find_problems(path)
    assert bool([each for each in problems if "inside" in each.message]) is is_refused
