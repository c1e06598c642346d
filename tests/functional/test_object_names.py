"""``name`` and ``flatten``: objects and files get names that are worked out for each of them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from tests.memory_aws import error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Store

READER, WRITER = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::444455556666:role/writer"
WAYS: dict[str, dict[str, Any]] = {
    "copy": {
        "action": "s3.copy",
        "role": WRITER,
        "source": "s3://landing/in/",
        "target": "s3://publish/out/",
    },
    "relay": {
        "action": "s3.copy",
        "source_role": READER,
        "target_role": WRITER,
        "source": "s3://landing/in/",
        "target": "s3://publish/out/",
    },
    "upload": {
        "action": "s3.upload",
        "role": WRITER,
        "source": "{tmp}/in/",
        "target": "s3://publish/out/",
    },
    "download": {
        "action": "s3.download",
        "role": READER,
        "source": "s3://landing/in/",
        "target": "{tmp}/out/",
    },
}
COPIES = ["copy", "relay"]
DAY = "2026-01-31"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """Loads a spec with one step."""

    def load_step(
        way: str,
        *,
        engine: str = "fast",
        params: Any = None,
        state: bool = False,
        **fields: Any,
    ) -> Any:
        filled = {
            key: value.replace("{tmp}", str(tmp_path)) if isinstance(value, str) else value
            for key, value in WAYS[way].items()
        }
        steps = [{"id": "it", **filled, **fields}]
        spec = {
            "version": 1,
            "name": "t",
            "engine": engine,
            "params": params or {},
            **({"state": {"location": f"{tmp_path}/state"}} if state else {}),
            "steps": steps,
        }
        (tmp_path / "job.yaml").write_text(json.dumps(spec))
        return api.load(tmp_path / "job.yaml")

    return load_step


@pytest.fixture
def run(memory_aws: Store, load: Any) -> Callable[..., Any]:
    """Runs one step and returns its result."""
    return lambda way, run_key="", **fields: api.run(
        load(way, state=bool(run_key), **fields), run_key=run_key
    ).steps[0]


@pytest.fixture
def fill(memory_aws: Store, tmp_path: Path) -> Callable[..., None]:
    """Stores objects and, alike, files."""

    def fill_both(*names: str) -> None:
        for name in names:
            memory_aws.put("landing", f"in/{name}", name)
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    return fill_both


def stored(way: str, store: Store, folder: Path) -> dict[str, str]:
    """Name below the target -> content."""
    if way == "download":
        out = folder / "out"
        return {
            str(path.relative_to(out)): path.read_text()
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }
    return {
        key.removeprefix("out/"): entry.body.decode()
        for (bucket, key), entry in sorted(store.objects.items())
        if bucket == "publish"
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "${{ object.folder }}${{ object.stem }}-${{ params.day }}${{ object.suffix }}",
            {"a-2026-01-31.csv": "a.csv", "sub/b.csv-2026-01-31.gz": "sub/b.csv.gz"},
        ),
        ("${{ object.name }}", {"a.csv": "a.csv", "b.csv.gz": "sub/b.csv.gz"}),
        (
            "day=${{ params.day }}/${{ object.relative | replace('/', '_') | upper }}",
            {f"day={DAY}/A.CSV": "a.csv", f"day={DAY}/SUB_B.CSV.GZ": "sub/b.csv.gz"},
        ),
        ("part-${{ object.number }}", {"part-1": "a.csv", "part-2": "sub/b.csv.gz"}),
        (
            "${{ 'small' if object.size < 6 else 'large' }}/${{ object.size }}",
            {"small/5": "a.csv", "large/12": "sub/b.csv.gz"},
        ),
        (
            "${{ object.modified | format('%Y') }}/${{ object.relative }}",
            {"2020/a.csv": "a.csv", "2020/sub/b.csv.gz": "sub/b.csv.gz"},
        ),
        (
            "${{ (object.key | split('/'))[-1] }}.bak",
            {"a.csv.bak": "a.csv", "b.csv.gz.bak": "sub/b.csv.gz"},
        ),
    ],
)
def test_objects_get_the_names_of_an_expression(
    name: str, expected: Any, way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("a.csv", "sub/b.csv.gz")
    for entry in memory_aws.objects.values():
        entry.modified = entry.modified.replace(year=2020)
    for path in (tmp_path / "in").rglob("*.*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    step = run(way, name=name, params={"day": {"type": "date", "default": DAY}})
    assert (step.status, step.error, step.outputs["count"]) == ("succeeded", None, 2)
    assert stored(way, memory_aws, tmp_path) == expected
    if way != "download":
        keys = sorted(info.key for info in step.outputs["objects"])
        assert keys == sorted(f"out/{each}" for each in expected)


@pytest.mark.parametrize("engine", ["fast", "boto3"])
@pytest.mark.parametrize("way", WAYS)
def test_flatten_leaves_out_folders_and_their_markers(
    way: str, engine: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("a", "x/b", "x/y/c")
    memory_aws.put("landing", "in/x/", "")
    assert run(way, flatten=True, engine=engine).outputs["count"] == 3
    assert sorted(stored(way, memory_aws, tmp_path)) == ["a", "b", "c"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fields", [{"flatten": True}, {"name": "${{ object.suffix }}"}])
def test_two_objects_on_one_name_are_refused_before_anything_moves(
    fields: Any, way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("a.x", "b.y", "sub/a.x")
    before = memory_aws.bodies()
    step = run(way, max_failures="100%", **fields)
    assert step.status == "failed"
    assert step.error.type == ("SameFile" if way == "download" else "SameKey")
    assert "in/a.x and " in step.error.message
    assert "in/sub/a.x would both be" in step.error.message
    assert (memory_aws.bodies(), (tmp_path / "out").exists()) == (before, False)


def test_a_disk_that_ignores_case_has_one_file_for_two_names(
    run: Any, fill: Any, memory_aws: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rolerunner.actions.download_items.is_case_insensitive", lambda _: True, raising=True
    )
    fill("a", "b")
    step = run("download", name="${{ 'Å' if object.name == 'a' else 'A\u030a' | lower }}")
    assert (step.status, step.error.type) == ("failed", "SameFile")
    assert not (tmp_path / "out").exists()


BAD = {
    "1": ("''", "is empty"),
    "2": ("'/etc/passwd'", "begins with '/'"),
    "3": ("'x/'", "ends with '/'"),
    "4": ("'../../b'", "has a part '.' or '..'"),
    "5": ("'d/../../e'", "has a part '.' or '..'"),
    "6": ("'a\x00b'", "contains a NUL character"),
    "7": ("'x' ~ params.long", "more than 255 bytes|1,024 at most"),
    "8": ("(object.name | split('-'))[7]", "cannot be evaluated: list index"),
    "9": ("object.suffix | int", "cannot be evaluated: invalid literal"),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_object_without_a_name_below_the_target_is_a_failure(
    way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill(*BAD, "good")
    name = "'good'"
    for each, (expression, _) in BAD.items():
        name = f"({expression}) if object.name == '{each}' else ({name})"
    params = {"long": {"default": "b" * 1100}}
    step = run(way, name=f"${{{{ {name} }}}}", max_failures=9, params=params)
    assert (step.status, step.outputs["count"]) == ("warning", 1)
    assert stored(way, memory_aws, tmp_path) == {"good": "good"}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("out", "r")) == [
        "in",
        "job.yaml",
    ]
    text = "" if way == "download" else step.outputs["objects"].path.read_text()
    lines = map(json.loads, text.splitlines())
    reasons = {each["key"].rsplit("/", 1)[-1]: each["reason"] for each in lines if "reason" in each}
    for key, reason in reasons.items():
        assert any(part in reason for part in BAD[key][1].split("|")), (key, reason)
    assert way == "download" or len(reasons) == len(BAD)


@pytest.mark.parametrize("way", WAYS)
def test_max_failures_lets_the_others_through(
    way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("bad", "good.x")
    step = run(way, name="${{ object.suffix | replace('.', 'n') }}", max_failures=1)
    assert (step.status, step.outputs["count"]) == ("warning", 1)
    assert stored(way, memory_aws, tmp_path) == {"nx": "good.x"}


@pytest.mark.parametrize("way", WAYS)
def test_one_object_gets_a_name_below_its_target(
    way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("sub/a.csv")
    source = f"{WAYS[way]['source']}sub/a.csv".replace("{tmp}", str(tmp_path))
    target = WAYS[way]["target"].replace("{tmp}", str(tmp_path)).rstrip("/")
    step = run(way, source=source, target=target, name="orders.csv")
    assert (step.status, step.error) == ("succeeded", None)
    assert stored(way, memory_aws, tmp_path) == {"orders.csv": "sub/a.csv"}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_there_is_looked_up_by_its_new_name(
    way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill(*(f"{number}.x" for number in range(40)), "sub/z.x")
    name = "${{ object.suffix }}/${{ object.stem }}"
    assert run(way, name=name).outputs["count"] == 41
    again = run(way, name=name, if_exists="skip_same")
    assert (again.outputs["count"], again.outputs["skipped"]) == (0, 41)
    kept = run(way, name=name, if_exists="skip")
    assert (kept.outputs["count"], kept.outputs["skipped"]) == (0, 41)
    refused = run(way, name=name, if_exists="fail")
    assert refused.status == "failed"
    assert len(stored(way, memory_aws, tmp_path)) == 41


@pytest.mark.parametrize("way", WAYS)
def test_a_mirror_keeps_the_names_that_its_source_gives(
    way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("new.csv", "left.txt", "sub/x.csv")
    for name in ("new.csv", "left.txt", "left.bak", "x.bak", "other.bak"):
        if way == "download":
            (tmp_path / "out").mkdir(exist_ok=True)
            (tmp_path / "out" / name).write_text("old")
        else:
            memory_aws.put("publish", f"out/{name}", "old")
    step = run(
        way,
        name="${{ object.stem }}.bak",
        include=["**/*.csv"],
        delete_extra=True,
        max_delete=3,
    )
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 3)
    assert stored(way, memory_aws, tmp_path) == {
        "new.bak": "new.csv",
        "left.bak": "old",
        "x.bak": "sub/x.csv",
    }


def test_a_mirror_of_an_unreadable_folder_deletes_nothing(
    run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("a", "sub/b")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    memory_aws.put("publish", "out/x-old", "old")
    step = run(
        "upload", name="x-${{ object.name }}", delete_extra=True, max_delete=3, max_failures=1
    )
    assert step.outputs["deleted"] == 0
    step = run("upload", name="x-${{ object.name }}", delete_extra=True, max_delete=3,
               symlinks="skip")  # fmt: skip
    assert (step.outputs["deleted"], sorted(stored("upload", memory_aws, tmp_path))) == (
        0,
        ["x-a", "x-b", "x-old"],
    )


@pytest.mark.parametrize("way", COPIES)
def test_a_move_under_new_names_that_was_killed_is_completed(
    way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("a", "b", "c")
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied") if (request.method, request.key) == ("PUT", "out/b-1") else None
    )
    fields = {"name": "${{ object.name }}-1", "move": True, "run_key": "k"}
    assert run(way, **fields).status == "failed"
    memory_aws.hook = None
    assert run(way, **fields).status == "succeeded"
    assert stored(way, memory_aws, tmp_path) == {"a-1": "a", "b-1": "b", "c-1": "c"}
    assert [key for bucket, key in memory_aws.objects if bucket == "landing"] == []


@pytest.mark.parametrize("way", WAYS)
def test_a_resumed_step_runs_again_under_another_name(
    way: str, run: Any, fill: Any, memory_aws: Store, tmp_path: Path
) -> None:
    fill("a")
    fields = {"name": "${{ object.name | replace('a', params.new) }}", "run_key": "k"}
    run(way, params={"new": {"default": "one"}}, **fields)
    run(way, params={"new": {"default": "two"}}, **fields)
    assert sorted(stored(way, memory_aws, tmp_path)) == ["one", "two"]


@pytest.mark.parametrize("way", COPIES)
def test_a_listed_object_may_not_be_overwritten(
    way: str, run: Any, fill: Any, memory_aws: Store
) -> None:
    for key in ("new/a", "new/a-1", "old/a"):
        memory_aws.put("box", key, key)
    before = memory_aws.bodies()
    step = run(
        way,
        source=None,
        objects=["s3://box/new/a", "s3://box/new/a-1"],
        target="s3://box/new/",
        name="${{ object.name }}-1",
    )
    assert (step.status, step.error.type) == ("failed", "TargetInSource")
    assert memory_aws.bodies() == before


@pytest.mark.parametrize("way", COPIES)
def test_an_object_can_be_renamed_in_its_folder(way: str, run: Any, memory_aws: Store) -> None:
    memory_aws.put("box", "in/a.csv", "a")
    fields = {"source": "s3://box/in/a.csv", "target": "s3://box/in/", "move": True}
    assert run(way, name="b.csv", **fields).status == "succeeded"
    assert memory_aws.bodies() == {"s3://box/in/b.csv": b"a"}
    step = run(way, name="${{ object.name }}", **{**fields, "source": "s3://box/in/b.csv"})
    assert (step.status, step.error.type) == ("failed", "MoveOntoItself")
    assert memory_aws.bodies() == {"s3://box/in/b.csv": b"a"}


def test_items_may_not_have_one_name(run: Any, memory_aws: Store) -> None:
    for key in ("in/x/a", "in/y/b"):
        memory_aws.put("landing", key, key)
    step = run(
        "copy", for_each=["x/a", "y/b"], source="s3://landing/in/${{ item }}", name="data.csv"
    )
    assert step.status == "failed"
    assert [key for bucket, key in memory_aws.objects if bucket == "publish"] == ["out/data.csv"]


def test_times_that_a_list_does_not_hold_are_told(
    memory_aws: Store, fill: Any, tmp_path: Path
) -> None:
    fill("a")
    spec = {
        "version": 1,
        "name": "t",
        "steps": [
            {"id": "one", **WAYS["copy"]},
            {
                "id": "two",
                "action": "s3.copy",
                "role": WRITER,
                "objects": "${{ steps.one.objects }}",
                "target": "s3://publish/again/",
                "name": "${{ object.modified | format('%Y') }}",
            },
        ],
    }
    (tmp_path / "job.yaml").write_text(json.dumps(spec))
    step = api.run(api.load(tmp_path / "job.yaml")).steps[1]
    assert step.error is not None
    assert "its time is not known, since another step stored it" in step.error.message


def test_names_of_decompressed_files_lose_their_suffix(
    run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    import gzip

    memory_aws.put("landing", "in/sub/a.csv.gz", gzip.compress(b"a"))
    memory_aws.put("landing", "in/b.gz.csv", b"b")
    step = run("download", decompress="gzip", name="x-${{ object.name | replace('.csv', '') }}")
    assert step.status == "succeeded"
    assert stored("download", memory_aws, tmp_path) == {"x-a": "a", "x-b.gz": "b"}


MISTAKES = {
    "${{ object.nam }}": "there is no 'object.nam'",
    "${{ object }}": "'object' needs a name after it",
    "${{ object.size | upper }}": "this filter works on text, not 1",
    "${{ object.name + 1 }}": "cannot be evaluated",
    "${{ object.name | split('-') }}": "a list or mapping cannot be part of a text",
    "${{ object.name.deep }}": "'object.name' has no parts",
    "${{ object.name | format('%Y') }}": "'format' works on dates and times",
    "{{ object.name }}": "",
    "": "'name' is empty",
    "/${{ object.name }}": "'name' begins with '/'",
    "../${{ object.name }}": "'name' has a part '.' or '..'",
    "${{ object.name }}/": "'name' ends with '/'",
    "a/../b": "'name' has a part '.' or '..'",
}


@pytest.mark.parametrize("way", ["copy", "upload", "download"])
@pytest.mark.parametrize("name", MISTAKES)
def test_validate_reports_mistakes_with_their_place(name: str, way: str, load: Any) -> None:
    with pytest.raises(SpecError) as caught:
        load(way, name=name)
    (problem,) = caught.value.problems
    assert MISTAKES[name] in problem.message
    assert problem.mark.line == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flatten": True, "name": "x"}, "'name' and 'flatten' exclude each other"),
        ({"name": "${{ object.number }}", "move": True}, "'object.number' cannot be used with 'mo"),
        (
            {"name": "${{ object.number }}", "delete_extra": True, "max_delete": 1},
            "'object.number' cannot be used with 'delete_extra'",
        ),
        ({"name": "Copy the orders"}, "'name' would be the same for all objects"),
        ({"name": "${{ run.id }}.csv"}, "'name' would be the same for all objects"),
        (
            {"source": None, "objects": ["s3://box/b", "s3://box/c"], "name": "x"},
            "'name' would be the same for all objects",
        ),
        ({"include": ["${{ object.name }}"]}, "'object' is available only where an action names"),
        ({"target": "s3://landing/in/", "flatten": True}, "cannot be stored in their source"),
        (
            {"target": "s3://landing/in/", "flatten": True, "move": True},
            "cannot be stored in their source",
        ),
        (
            {
                "source": "s3://box/a/b/",
                "target": "s3://box/a/",
                "exclude": ["b/**"],
                "flatten": True,
                "delete_extra": True,
                "max_delete": 1,
            },
            "lies inside",
        ),
    ],
)
def test_validate_refuses_options_that_contradict(fields: Any, message: str, load: Any) -> None:
    with pytest.raises(SpecError, match=message):
        load("copy", **fields)


def test_a_secret_does_not_become_a_name(load: Any) -> None:
    with pytest.raises(SpecError, match="is a secret, which cannot flow into 'name'"):
        load("copy", name="${{ object.name }}-${{ params.key }}", params={"key": {"secret": True}})


def test_a_plan_shows_the_name_and_the_permissions_below_the_target(load: Any) -> None:
    job = load(
        "copy",
        source="s3://landing/in/a.csv",
        target="s3://publish/out",
        name="${{ object.stem }}-${{ params.day }}",
        params={"day": {"default": DAY}},
    )
    (step,) = api.plan(job).steps
    assert str(step.fields["name"]) == "${{ object.stem }}-" + DAY
    written = {
        each.resource for each in step.permissions["target_role"] if each.action == "s3:PutObject"
    }
    assert written == {"arn:aws:s3:::publish/out/*"}
    assert step.notes == ()


def test_a_live_plan_counts_what_is_extra_under_new_names(
    load: Any, fill: Any, memory_aws: Store
) -> None:
    fill("a", "b")
    memory_aws.put("publish", "out/a", "old")
    memory_aws.put("publish", "out/a-1", "old")
    job = load("copy", name="${{ object.name }}-1", delete_extra=True, max_delete=5)
    found = api.survey(api.plan(job))
    assert found["it"]["extra"] == 1
