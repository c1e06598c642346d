"""``delete_extra`` on s3.copy: the target becomes a mirror, and nothing else is deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from tests.memory_aws import LOSE, error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Request, Store

READER, WRITER = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::444455556666:role/writer"
ROLES: dict[str, dict[str, str]] = {
    "one role": {"role": WRITER},
    "two roles": {"source_role": READER, "target_role": WRITER},
}
POINT = "orders-metkb4xe1m3h1n1-s3alias"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """Loads a spec with one copy."""

    def load_step(engine: str = "fast", **fields: Any) -> Any:
        path = tmp_path / "job.yaml"
        step = {
            "id": "it",
            "action": "s3.copy",
            "source": "s3://landing/in/",
            "target": "s3://publish/pub/",
            "delete_extra": True,
            "max_delete": 5,
            **fields,
        }
        state = {"location": f"{tmp_path}/state"}
        path.write_text(
            json.dumps(
                {"version": 1, "name": "t", "engine": engine, "state": state, "steps": [step]}
            )
        )
        return api.load(path)

    return load_step


@pytest.fixture(params=["fast", "boto3"])
def run(request: pytest.FixtureRequest, memory_aws: Store, load: Any) -> Callable[..., Any]:
    """Runs one copy and returns its result."""

    def run_step(roles: str = "one role", run_key: str = "", **fields: Any) -> Any:
        return api.run(load(request.param, **ROLES[roles], **fields), run_key=run_key).steps[0]

    return run_step


def fill(store: Store) -> None:
    for key in ("a.csv", "sub/b.csv", "large.csv"):
        store.put("landing", f"in/{key}", key * (5 if key == "large.csv" else 1))
    for key in ("pub/a.csv", "pub/old.csv", "pub/sub/old.csv", "pub/", "pub-beside", "pub.txt"):
        store.put("publish", key, "was there")


def published(store: Store) -> list[str]:
    return sorted(key for bucket, key in store.objects if bucket == "publish")


BESIDE = ["pub-beside", "pub.txt", "pub/"]


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("target", ["s3://publish/pub/", "s3://publish/pub"])
@pytest.mark.parametrize("if_exists", ["overwrite", "skip_same"])
def test_the_target_becomes_a_mirror(
    if_exists: str, target: str, roles: str, run: Any, memory_aws: Store
) -> None:
    fill(memory_aws)
    step = run(roles, target=target, if_exists=if_exists)
    assert (step.status, step.outputs["count"], step.outputs["deleted"]) == ("succeeded", 3, 2)
    copied = ["pub/a.csv", "pub/large.csv", "pub/sub/b.csv"]
    assert published(memory_aws) == sorted([*BESIDE, *copied])
    assert sorted(key for bucket, key in memory_aws.objects if bucket == "landing") == [
        "in/a.csv",
        "in/large.csv",
        "in/sub/b.csv",
    ]
    assert sorted(info.key for info in step.outputs["objects"]) == copied


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize(
    "filters",
    [
        {"max_size": "12B"},
        {"min_size": "10B"},
        {"max_age": "1d"},
        {"include": ["a.csv"]},
        {"exclude": ["large*"]},
    ],
    ids=json.dumps,
)
def test_what_filters_leave_out_is_not_extra(
    filters: dict[str, Any], roles: str, run: Any, memory_aws: Store
) -> None:
    fill(memory_aws)
    aged = memory_aws.objects["landing", "in/large.csv"]
    aged.modified = aged.modified.replace(year=2020)
    for key in ("pub/large.csv", "pub/sub/b.csv"):
        memory_aws.put("publish", key, "was there")
    step = run(roles, **filters)
    kept = ["pub/old.csv", "pub/sub/old.csv"] if "include" in filters else []
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 2 - len(kept))
    assert published(memory_aws) == sorted(
        [*BESIDE, "pub/a.csv", "pub/large.csv", "pub/sub/b.csv", *kept]
    )


@pytest.mark.parametrize("roles", ROLES)
def test_too_many_are_refused_before_anything_is_copied(
    roles: str, run: Any, memory_aws: Store
) -> None:
    fill(memory_aws)
    before = memory_aws.bodies()
    step = run(roles, max_delete=1)
    assert (step.status, step.error.type) == ("failed", "MaxDelete")
    assert "2 objects or more under s3://publish/pub/ would be deleted" in step.error.message
    assert memory_aws.bodies() == before


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("max_failures", [0, 1])
def test_a_failed_object_keeps_what_is_extra(
    max_failures: int, roles: str, run: Any, memory_aws: Store
) -> None:
    fill(memory_aws)
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied")
        if (request.method, request.key) == ("PUT", "pub/sub/b.csv")
        else None
    )
    step = run(roles, max_failures=max_failures)
    assert step.status == ("warning" if max_failures else "failed")
    assert {"pub/old.csv", "pub/sub/old.csv"} < set(published(memory_aws))
    assert step.outputs.get("deleted", 0) == 0


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("source", ["s3://landing/none/", "s3://landing/in/"])
def test_an_empty_source_deletes_nothing(
    source: str, roles: str, run: Any, memory_aws: Store
) -> None:
    fill(memory_aws)
    step = run(roles, source=source, on_empty="ok", include=["none"])
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 0)
    assert "pub/old.csv" in published(memory_aws)


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("broken", ["landing", "publish"])
def test_a_listing_that_breaks_off_deletes_nothing(
    broken: str, roles: str, run: Any, memory_aws: Store
) -> None:
    fill(memory_aws)
    before = memory_aws.bodies()

    def refuse(request: Request) -> Any:
        listed = request.bucket == broken and "list-type" in request.query
        return error(403, "AccessDenied") if listed else None

    memory_aws.hook = refuse
    step = run(roles)
    assert (step.status, memory_aws.bodies()) == ("failed", before)


def test_an_extra_object_that_stays_is_a_failure(run: Any, memory_aws: Store) -> None:
    fill(memory_aws)
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied") if "delete" in request.query else None
    )
    step = run()
    assert (step.status, step.error.type) == ("failed", "AccessDenied")
    assert "2 of 2 extra objects were not deleted" in step.error.message
    assert {"pub/old.csv", "pub/sub/old.csv"} < set(published(memory_aws))


def test_a_batch_whose_response_is_lost_is_sent_again(run: Any, memory_aws: Store) -> None:
    fill(memory_aws)
    sent: list[Request] = []

    def lose_first(request: Request) -> Any:
        sent.extend([request] if "delete" in request.query else [])
        return LOSE if "delete" in request.query and len(sent) == 1 else None

    memory_aws.hook = lose_first
    step = run()
    assert (step.status, step.outputs["deleted"], len(sent)) == ("succeeded", 2, 2)


def test_a_source_inside_its_target_is_kept_by_the_globs_that_keep_them_apart(
    run: Any, memory_aws: Store
) -> None:
    for key in ("new/src/a.csv", "new/old.csv", "new/src/excluded/x"):
        memory_aws.put("box", key, key)
    fields = {"source": "s3://box/new/src/", "target": "s3://box/new/"}
    with pytest.raises(SpecError, match="lies inside"):
        run(**fields)
    step = run(**fields, exclude=["src/**"])
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 1)
    assert sorted(key for _, key in memory_aws.objects) == [
        "new/a.csv",
        "new/excluded/x",
        "new/src/a.csv",
        "new/src/excluded/x",
    ]


@pytest.mark.parametrize("roles", ROLES)
def test_two_names_of_one_bucket_are_refused(roles: str, run: Any, memory_aws: Store) -> None:
    moment = memory_aws.put("box", "new/src/a.csv", "a").modified
    memory_aws.put(POINT, "new/src/a.csv", "a", modified=moment)
    memory_aws.put(POINT, "new/old.csv", "a")
    before = memory_aws.bodies()
    step = run(roles, source="s3://box/new/src/", target=f"s3://{POINT}/new/")
    assert (step.status, step.error.type) == ("failed", "TargetInSource")
    assert "'delete_extra' would delete objects of the source" in step.error.message
    assert memory_aws.bodies() == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_delete": None}, "'delete_extra' needs 'max_delete'"),
        ({"move": True}, "'move' and 'delete_extra' exclude each other"),
        ({"source": "s3://landing/in/a.csv"}, "needs a 'source' that ends with '/'"),
        ({"source": None, "objects": ["s3://landing/in/a.csv"]}, "needs a 'source' that ends"),
        ({"target": "s3://publish/"}, "cannot be used on a whole bucket"),
        ({"target": "s3://publish"}, "cannot be used on a whole bucket"),
    ],
)
def test_validate_refuses_what_has_no_mirror(
    fields: dict[str, Any], message: str, load: Any
) -> None:
    with pytest.raises(SpecError, match=message):
        load(role=WRITER, **fields)


def test_a_whole_bucket_can_mirror_another(run: Any, memory_aws: Store) -> None:
    fill(memory_aws)
    step = run(source="s3://landing", target="s3://publish", max_delete=10)
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 6)
    assert published(memory_aws) == ["in/a.csv", "in/large.csv", "in/sub/b.csv"]


@pytest.mark.parametrize("roles", ROLES)
def test_a_run_that_was_killed_before_its_deletions_is_completed(
    roles: str, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill(memory_aws)
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied") if "delete" in request.query else None
    )
    assert run(roles, run_key="k").status == "failed"
    memory_aws.hook = None
    memory_aws.requests.clear()
    step = run(roles, run_key="k")
    assert (step.outputs["skipped"], step.outputs["deleted"]) == (3, 2)
    assert "pub/old.csv" not in published(memory_aws)
    assert memory_aws.requests_of("PUT", "publish") == []


def test_a_live_plan_counts_what_is_extra(load: Any, memory_aws: Store) -> None:
    fill(memory_aws)
    before = memory_aws.bodies()
    found = api.survey(api.plan(load(role=WRITER, max_delete=1)))
    assert found["it"] == {"count": 3, "bytes": 59, "extra": 2, "max_delete": 1}
    assert memory_aws.bodies() == before
