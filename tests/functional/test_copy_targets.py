"""Copies never lose an object: overlapping sources and targets, and shared targets, are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, wiring
from rolerunner.errors import SpecError
from rolerunner.sessions.identity import JobIdentity
from rolerunner.storage.workers.distributed import Distribution
from rolerunner.storage.workers.worker_setup import WorkerSetup
from tests.memory_aws import error
from tests.workers import InProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.model import RunResult
    from tests.memory_aws import Store

READER, WRITER = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::444455556666:role/writer"
ONE, TWO = {"role": READER}, {"source_role": READER, "target_role": WRITER}
POINT = "s3://arn:aws:s3:eu-west-1:111122223333:accesspoint/orders"


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., Path]:
    def write(*steps: dict[str, Any], **top: Any) -> Path:
        path = tmp_path / "job.yaml"
        path.write_text(
            json.dumps(
                {
                    "version": 1,
                    "name": "t",
                    **top,
                    "steps": [{"id": f"s{n}", **each} for n, each in enumerate(steps)],
                }
            )
        )
        return path

    return write


@pytest.fixture(params=["fast", "boto3"])
def run(
    request: pytest.FixtureRequest, memory_aws: Store, spec: Callable[..., Path]
) -> Callable[..., RunResult]:
    """Run steps in one engine."""
    return lambda *steps, **top: api.run(api.load(spec(*steps, engine=request.param, **top)))


def copy(roles: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"action": "s3.copy", **roles, **fields}


def changed(store: Store) -> list[tuple[str, str]]:
    """Requests that could change an object."""
    return [
        (each.method, each.key)
        for method in ("PUT", "POST", "DELETE")
        for each in store.requests_of(method)
    ]


def failure(result: RunResult) -> tuple[str, str]:
    error = result.steps[-1].error
    assert error is not None, result
    return error.type, f"{error.message} {error.hint}"


# a target inside its source, or the reverse


@pytest.mark.parametrize("move", [True, False])
@pytest.mark.parametrize("roles", [ONE, TWO])
@pytest.mark.parametrize(
    ("source", "target", "inner"),
    [
        ("s3://box/orders/", "s3://box/orders/archive/", "target"),
        ("s3://box/orders/", "s3://box/orders/archive", "target"),
        ("s3://box/orders/", "s3://box/orders/a/b/c/", "target"),
        ("s3://box/orders/", "s3://box/orders//", "target"),
        ("s3://box/", "s3://box/archive/", "target"),
        ("s3://box", "s3://box/archive/", "target"),
        ("s3://box/orders/archive/", "s3://box/orders/", "source"),
        ("s3://box/orders//", "s3://box/orders/", "source"),
        ("s3://box/orders/", "s3://box/", "source"),
        (f"{POINT}/orders/", f"{POINT}/orders/done/", "target"),
        ("s3://box/${{ params.day }}/", "s3://box/${{ params.day }}/done/", "target"),
        (
            "s3://${{ params.bucket }}/in/",
            "s3://${{ params.bucket }}/in/${{ params.day }}/",
            "target",
        ),
        ("s3://box/${{ run.id }}/", "s3://box/${{ run.id }}/done/", "target"),
        ("s3://box/in/", "s3://box/in/${{ run.date | replace('-', '/') }}/", "target"),
    ],
)
def test_validate_refuses_an_overlap(
    source: str, target: str, inner: str, roles: Any, move: bool, spec: Any
) -> None:
    params = {"day": {"default": "2026"}, "bucket": {"required": True}}
    path = spec(copy(roles, source=source, target=target, move=move), params=params)
    with pytest.raises(SpecError) as raised:
        api.load(path, complete=False)
    (problem,) = raised.value.problems
    assert problem.message.startswith(f"'{inner}' s3://")
    assert "lies inside" in problem.message
    assert "\0" not in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("s3://box/orders/", "s3://box/orders/"),
        ("s3://box/orders/", "s3://box/orders"),
        ("s3://box/orders/a", "s3://box/orders/a"),
        ("s3://box/orders/a", "s3://box/orders/"),
        ("s3://box", "s3://box/"),
        ("s3://box/${{ run.id }}/", "s3://box/${{ run.id }}/"),
    ],
)
def test_a_move_onto_itself_is_refused_and_a_copy_is_not(
    source: str, target: str, spec: Any
) -> None:
    with pytest.raises(SpecError, match="onto itself would delete the source"):
        api.load(spec(copy(ONE, source=source, target=target, move=True)))
    assert api.load(spec(copy(ONE, source=source, target=target, storage_class="STANDARD_IA")))


@pytest.mark.parametrize(
    ("source", "target", "globs"),
    [
        ("s3://box/orders/", "s3://box/orders-archive/", {}),
        ("s3://box/orders/", "s3://other/orders/archive/", {}),
        ("s3://box/orders", "s3://box/orders/", {}),
        ("s3://box/orders/2026/", "s3://box/orders/2025/", {}),
        ("s3://box/orders/", "s3://box/orders/archive/", {"exclude": ["archive/**"]}),
        (
            "s3://box/orders/",
            "s3://box/orders/archive/",
            {"exclude": ["*.tmp", "{archive,done}/**"]},
        ),
        ("s3://box/orders/", "s3://box/orders/archive/2026/", {"exclude": ["a*/**"]}),
        ("s3://box/orders/", "s3://box/orders/archive/", {"include": ["*.csv"]}),
        ("s3://box/orders/", "s3://box/orders/archive/", {"include": ["new/**", "*"]}),
        ("s3://box/orders/archive/", "s3://box/orders/", {"exclude": ["**/archive/**"]}),
        ("s3://box/", "s3://box/archive/", {"exclude": ["*/**"]}),
        ("s3://box/orders/", "s3://box/orders/archive/", {"exclude": ["${{ params.glob }}"]}),
        ("s3://box/orders/", "s3://box/orders/${{ run.date }}/", {"exclude": ["2*/**"]}),
    ],
)
def test_validate_takes_what_is_apart(source: str, target: str, globs: Any, spec: Any) -> None:
    path = spec(
        copy(ONE, source=source, target=target, move=True, **globs),
        params={"glob": {"required": True}},
    )
    assert api.load(path, complete=False)


@pytest.mark.parametrize(
    "globs",
    [
        {"exclude": ["archive/*"]},
        {"exclude": ["archive/**/*.csv"]},
        {"exclude": ["**/old/**"]},
        {"include": ["**/*.csv"]},
        {"include": ["a*/**"]},
        {"include": ["new/**", "*/*"]},
        {"min_age": "1d"},
        {"exclude": ["${{ params.glob }}"]},
    ],
)
def test_globs_that_do_not_keep_them_apart(globs: Any, spec: Any) -> None:
    path = spec(
        copy(ONE, source="s3://box/orders/", target="s3://box/orders/archive/", **globs),
        params={"glob": {"default": "other/**"}},
    )
    with pytest.raises(SpecError, match="lies inside"):
        api.load(path)


LIST = {"action": "s3.list", "role": READER}
WAIT_FOR = {"action": "s3.wait", "role": READER}


@pytest.mark.parametrize("move", [True, False])
@pytest.mark.parametrize(
    ("listed", "target", "inner"),
    [
        ({**LIST, "source": "s3://box/orders/"}, "s3://box/orders/archive/", "'target'"),
        ({**LIST, "source": "s3://box/orders/2026-"}, "s3://box/orders/2026-archive", "'target'"),
        ({**LIST, "source": "s3://box/${{ params.day }}/"}, "s3://box/2026/done/", "'target'"),
        ({**LIST, "source": "s3://box/orders/archive/"}, "s3://box/orders/", "'objects'"),
        (
            {**LIST, "source": "s3://box/orders/", "include": ["**/*.csv"], "sort": "size"},
            "s3://box/orders/archive/",
            "'target'",
        ),
        ({**WAIT_FOR, "source": "s3://box/orders/"}, "s3://box/orders/archive/", "'target'"),
        ({**WAIT_FOR, "source": ["s3://box/orders/"]}, "s3://box/orders/archive/", "'target'"),
    ],
)
def test_validate_refuses_an_overlap_with_what_another_step_lists(
    listed: Any, target: str, inner: str, move: bool, spec: Any
) -> None:
    path = spec(
        listed,
        copy(ONE, objects="${{ steps.s0.objects }}", target=target, move=move),
        params={"day": {"default": "2026"}},
    )
    with pytest.raises(SpecError) as raised:
        api.load(path)
    (problem,) = raised.value.problems
    assert problem.message.startswith(inner)
    assert "lies inside" in problem.message


@pytest.mark.parametrize(
    ("listed", "more"),
    [
        ({**LIST, "source": "s3://box/orders/", "exclude": ["archive/**"]}, {}),
        ({**LIST, "source": "s3://box/orders/"}, {"exclude": ["archive/**"]}),
        ({**LIST, "source": "s3://box/orders/", "recursive": False}, {}),
        ({**LIST, "source": "s3://box/orders/", "recursive": "${{ params.deep }}"}, {}),
        ({**LIST, "source": "s3://box/orders/", "exclude": ["${{ steps.first.text }}"]}, {}),
        ({**LIST, "source": "s3://box/orders/2026-"}, {}),
        ({**LIST, "source": "s3://${{ steps.first.text }}/orders/"}, {}),
        (
            {
                "action": "s3.upload",
                "role": READER,
                "source": "/tmp/x/",
                "target": "s3://box/orders/",
            },
            {},
        ),
        ({**WAIT_FOR, "source": ["s3://box/orders/", "s3://other/"]}, {}),
    ],
)
def test_validate_takes_lists_that_are_apart(listed: Any, more: Any, spec: Any) -> None:
    first = {"id": "first", "action": "s3.read", "role": READER, "source": "s3://box/x"}
    step = copy(
        ONE, objects="${{ steps.s1.objects }}", target="s3://box/orders/archive/", move=True, **more
    )
    assert api.load(
        spec(first, listed, step, params={"deep": {"type": "boolean", "required": True}}),
        complete=False,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"include": None},
        {"include": 3},
        {"exclude": [1, None]},
        {"recursive": "x"},
        {"source": 1},
        {"source": "box"},
        {"source": None},
    ],
)
@pytest.mark.parametrize("action", ["s3.list", "s3.wait"])
def test_a_list_with_mistakes_of_its_own_is_told_of_those(
    action: str, wrong: Any, spec: Any
) -> None:
    listed = {"action": action, "role": READER, "source": "s3://box/orders/", **wrong}
    with pytest.raises(SpecError):
        api.load(
            spec(
                listed,
                copy(ONE, objects="${{ steps.s0.objects }}", target="s3://box/orders/archive/"),
            )
        )


@pytest.mark.parametrize("roles", [ONE, TWO])
def test_a_run_refuses_before_its_first_request_what_only_it_knows(
    roles: Any, run: Any, memory_aws: Store
) -> None:
    memory_aws.put("box", "in/a", "in/done/")
    memory_aws.put("box", "in/done/a", "old")
    before = memory_aws.bodies()
    read = {"action": "s3.read", "role": READER, "source": "s3://box/in/a"}
    result = run(
        read, copy(roles, source="s3://box/in/", target="s3://box/${{ steps.s0.text }}", move=True)
    )
    kind, message = failure(result)
    assert (kind, memory_aws.bodies(), changed(memory_aws)) == ("TargetInSource", before, [])
    assert "s3://box/in/done/ lies inside 'source' s3://box/in/" in message
    assert memory_aws.requests_of("GET", "box")[-1].key == "in/a", "the source was not listed"


@pytest.mark.parametrize("roles", [ONE, TWO])
def test_filters_that_keep_them_apart_let_an_archive_grow_day_by_day(
    roles: Any, run: Any, memory_aws: Store
) -> None:
    step = copy(
        roles,
        source="s3://box/orders/",
        target="s3://box/orders/archive/",
        exclude=["archive/**"],
        move=True,
    )
    for day in ("1", "2"):
        memory_aws.put("box", f"orders/{day}.csv", day)
        assert run(step).status == "succeeded"
    assert memory_aws.bodies() == {
        "s3://box/orders/archive/1.csv": b"1",
        "s3://box/orders/archive/2.csv": b"2",
    }


@pytest.mark.parametrize("move", [True, False])
@pytest.mark.parametrize("roles", [ONE, TWO])
@pytest.mark.parametrize("sort", ["key", "modified"])
def test_a_list_whose_target_is_one_of_its_objects(
    sort: str, roles: Any, move: bool, run: Any, memory_aws: Store
) -> None:
    memory_aws.put("box", "orders/day.csv", "today")
    memory_aws.put("box", "orders/archive/day.csv", "yesterday")
    before = memory_aws.bodies()
    listed = {
        **LIST,
        "source": "s3://${{ run.name }}/orders/",
        "sort": sort,
    }  # validate cannot tell
    result = run(
        listed,
        copy(
            roles, objects="${{ steps.s0.objects }}", target="s3://box/orders/archive/", move=move
        ),
        name="box",
    )
    kind, message = failure(result)
    assert (kind, memory_aws.bodies(), changed(memory_aws)) == ("TargetInSource", before, [])
    assert (
        "s3://box/orders/day.csv would be s3://box/orders/archive/day.csv, which is itself"
        in message
    )


@pytest.mark.parametrize("roles", [ONE, TWO])
def test_a_move_between_two_names_of_one_bucket(roles: Any, run: Any, memory_aws: Store) -> None:
    """An access point's bucket is not in its name; what both names show tells it."""
    point = "orders-metkb4xe1m3h1n1-s3alias"
    moment = memory_aws.put("box", "orders/a.csv", "a").modified
    memory_aws.put(point, "orders/a.csv", "a", modified=moment)
    before = memory_aws.bodies()
    for source, target in (
        (f"s3://{point}/orders/", "s3://box/orders/"),
        ("s3://box/", f"s3://{point}/orders/"),
    ):
        kind, message = failure(run(copy(roles, source=source, target=target, move=True)))
        assert (kind, memory_aws.bodies(), changed(memory_aws)) == ("TargetInSource", before, [])
        assert "seem to be the same bucket" in message
    memory_aws.put("box", "orders/a.csv", "another object")
    assert (
        run(
            copy(roles, source=f"s3://{point}/orders/", target="s3://box/orders/", move=True)
        ).status
        == "succeeded"
    )


# two objects on one target


def two_buckets(memory_aws: Store, count: int = 3) -> None:
    for number in range(count):
        memory_aws.put("north", f"{number}.csv", f"north {number}")
        memory_aws.put("south", f"{number}.csv", f"south {number}")


WAIT = {
    "action": "s3.wait",
    "role": READER,
    "source": ["s3://north/", "s3://south/"],
    "max_wait": "5s",
}
NAMED = {"objects": ["s3://north/0.csv", "s3://north/1.csv", "s3://south/0.csv"]}
LISTED = {"objects": "${{ steps.s0.objects }}"}


@pytest.mark.parametrize("move", [True, False])
@pytest.mark.parametrize("roles", [ONE, TWO])
@pytest.mark.parametrize(
    ("before", "what"),
    [
        ([WAIT], LISTED),
        ([WAIT], {**LISTED, "include": ["*.csv"]}),
        ([WAIT], {**LISTED, "max_failures": "100%"}),
        ([WAIT], {**LISTED, "if_exists": "skip_same"}),
        ([], NAMED),
        ([], {**NAMED, "include": ["0.csv"]}),
        ([], {"objects": ["s3://north/x/0.csv", "s3://north/y/0.csv"]}),
    ],
)
def test_two_objects_on_one_key_are_refused_before_anything_moves(
    before: Any, what: Any, roles: Any, move: bool, run: Any, memory_aws: Store
) -> None:
    two_buckets(memory_aws)
    for folder in ("x", "y"):
        memory_aws.put("north", f"{folder}/0.csv", folder)
    there = memory_aws.bodies()
    kind, message = failure(run(*before, copy(roles, target="s3://all/in/", move=move, **what)))
    assert (kind, memory_aws.bodies(), changed(memory_aws)) == ("SameKey", there, [])
    assert message.count("0.csv") == 3
    assert "would both be s3://all/in/" in message


@pytest.mark.parametrize("action", ["s3.copy", "s3.download"])
def test_a_list_that_names_an_object_twice(
    action: str, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    memory_aws.put("north", "a/b.csv", "b")
    there = memory_aws.bodies()
    wait = {**WAIT, "source": ["s3://north/", "s3://north/a/"]}
    target = "s3://all/in/" if action == "s3.copy" else f"{tmp_path}/out/"
    kind, _ = failure(run(wait, {"action": action, "role": READER, "target": target, **LISTED}))
    assert (kind, memory_aws.bodies(), (tmp_path / "out").exists()) == (
        "SameKey" if action == "s3.copy" else "SameFile",
        there,
        False,
    )


@pytest.mark.parametrize("roles", [ONE, TWO])
@pytest.mark.parametrize("move", [True, False])
def test_many_machines_refuse_the_same(
    move: bool, roles: Any, memory_aws: Store, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_buckets(memory_aws)
    there = memory_aws.bodies()
    place = WorkerSetup(wiring.open_storage, JobIdentity("eu-west-1"), "workers")
    monkeypatch.setattr(
        wiring, "_build_cluster_opener", lambda *_: lambda: Distribution(InProcess(2), place)
    )
    moved = {"target": "s3://all/in/", "move": move, "distribute": "spark"}
    assert failure(api.run(api.load(spec(WAIT, copy(roles, **LISTED, **moved)))))[0] == "SameKey"
    assert (memory_aws.bodies(), changed(memory_aws)) == (there, [])


def test_objects_of_two_buckets_with_keys_of_their_own_all_move(
    run: Any, memory_aws: Store
) -> None:
    for number in range(30):
        memory_aws.put("north", f"n{number}", f"n{number}")
        memory_aws.put("south", f"s{number}", f"s{number}")
    bodies = set(memory_aws.bodies().values())
    result = run(WAIT, copy(TWO, **LISTED, target="s3://all/in/", move=True))
    assert result.status == "succeeded", result
    assert set(memory_aws.bodies().values()) == bodies
    assert all(key.startswith("s3://all/in/") for key in memory_aws.bodies())


@pytest.mark.parametrize(
    ("before", "what"),
    [
        ([WAIT], LISTED),
        ([], NAMED),
        ([], {"source": "s3://west/", "decompress": "gzip"}),
    ],
)
def test_two_objects_on_one_file_are_refused_before_anything_is_fetched(
    before: Any, what: Any, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    two_buckets(memory_aws)
    for key in ("a/x", "a/x-y", "a/x.gz"):
        memory_aws.put("west", key, key)
    kind, message = failure(
        run(
            *before, {"action": "s3.download", "role": READER, "target": f"{tmp_path}/out/", **what}
        )
    )
    assert (kind, (tmp_path / "out").exists()) == ("SameFile", False)
    assert "would both be the file" in message


def test_names_that_a_file_system_takes_for_one(
    run: Any, memory_aws: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rolerunner.actions.download_items.is_case_insensitive", lambda _: True)
    step = {
        "action": "s3.download",
        "role": READER,
        "source": "s3://box/",
        "target": f"{tmp_path}/out/",
    }
    for one, other in (("a/Read", "a/read"), ("A/x", "a/x"), ("e\u0301", "\u00e9")):
        memory_aws.objects.clear()
        memory_aws.put("box", one, "one")
        memory_aws.put("box", other, "other")
        assert failure(run(step))[0] == "SameFile"
        assert not (tmp_path / "out").exists()
    memory_aws.put("box", "e\u0301", "one")
    del memory_aws.objects["box", "\u00e9"]
    assert run(step).status == "succeeded"


@pytest.mark.parametrize(
    "source",
    [["a/x.csv", "b/x.csv"], ["a/", "b/"], ["a/", "b/x.csv"], "*/x.csv", ["a/*.csv", "**/b/*"]],
)
def test_two_files_on_one_key_are_refused_before_anything_is_stored(
    source: Any, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").write_text(folder)
        (tmp_path / folder / f"{folder}.csv").write_text(folder)
    sources = [f"{tmp_path}/{each}" for each in (source if isinstance(source, list) else [source])]
    step = {
        "action": "s3.upload",
        "role": READER,
        "source": sources if isinstance(source, list) else sources[0],
        "target": "s3://box/in/",
    }
    kind, message = failure(run(step))
    assert (kind, changed(memory_aws)) == ("SameKey", [])
    assert f"{tmp_path}/a/x.csv and {tmp_path}/b/x.csv would both be s3://box/in/x.csv" in message


# items of a for_each


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("roles", [ONE, TWO])
@pytest.mark.parametrize(
    "loop",
    [
        {"for_each": {"items": ["north", "south"]}, "source": "s3://${{ item }}/"},
        {
            "for_each": {"items": ["s3://north/0.csv", "s3://north/1.csv", "s3://south/0.csv"]},
            "source": "${{ item }}",
        },
        {
            "for_each": {
                "items": [["s3://north/0.csv"], ["s3://south/1.csv"], ["s3://south/0.csv"]]
            },
            "objects": "${{ item }}",
        },
    ],
)
def test_items_do_not_move_two_objects_to_one_key(
    loop: Any, roles: Any, at_once: int, run: Any, memory_aws: Store
) -> None:
    two_buckets(memory_aws)
    bodies = set(memory_aws.bodies().values())
    step = copy(
        roles,
        target="s3://all/in/",
        move=True,
        **{**loop, "for_each": {**loop["for_each"], "max_parallel": at_once}},
    )
    kind, message = failure(run(step))
    assert kind == "SameKey"
    assert "would both be s3://all/in/" in message
    assert set(memory_aws.bodies().values()) == bodies, "no object is lost"


@pytest.mark.parametrize("roles", [ONE, TWO])
def test_items_with_targets_of_their_own_all_move(roles: Any, run: Any, memory_aws: Store) -> None:
    two_buckets(memory_aws)
    step = copy(
        roles,
        for_each=["north", "south"],
        source="s3://${{ item }}/",
        target="s3://all/${{ item }}/",
        move=True,
    )
    failed = []

    def hook(request: Any) -> Any:
        if request.method == "DELETE" or "delete" in request.query:
            failed.append(request)
            return error(403, "AccessDenied") if len(failed) == 1 else None
        return None

    memory_aws.hook = hook
    assert run(step).status == "failed"
    assert run({**step, "on_empty": "ok"}).status == "succeeded", "a later run moves what is left"
    assert {uri: body.decode() for uri, body in memory_aws.bodies().items()} == {
        f"s3://all/{side}/{number}.csv": f"{side} {number}"
        for side in ("north", "south")
        for number in range(3)
    }
