"""``delete_extra`` deletes only what the source lacks, below the target's folder only."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.model import S3Uri
from tests.memory_aws import error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Request, Store

WRITER = "arn:aws:iam::444455556666:role/writer"
LONG_AGO = time.time() - 10 * 86_400
FILTERS: list[dict[str, Any]] = [
    {"max_age": "1d"},
    {"min_size": "2B"},
    {"max_size": "3B"},
    {"include": ["new.txt"]},
    {"exclude": ["o*"]},
]


@pytest.fixture(params=["fast", "boto3"])
def run(request: pytest.FixtureRequest, memory_aws: Store, tmp_path: Path) -> Callable[..., Any]:
    """Runs one step and returns its result."""

    def run_step(action: str, **fields: Any) -> Any:
        path = tmp_path / "job.yaml"
        step = {
            "id": "it",
            "action": action,
            "role": "writer",
            "delete_extra": True,
            "max_delete": 10,
            **fields,
        }
        path.write_text(
            json.dumps(
                {
                    "version": 1,
                    "name": "t",
                    "engine": request.param,
                    "roles": {"writer": WRITER},
                    "steps": [step],
                }
            )
        )
        return api.run(api.load(path)).steps[0]

    return run_step


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """new.txt, and old.txt which is old and large, and other.txt which is old and small."""
    folder = tmp_path / "src"
    (folder / "sub").mkdir(parents=True)
    for name, text in (("new.txt", "new"), ("old.txt", "old and large"), ("sub/other.txt", "o")):
        (folder / name).write_text(text)
        if name != "new.txt":
            os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


def keys(store: Store) -> list[str]:
    return sorted(key for _, key in store.objects)


@pytest.mark.parametrize("target", ["s3://publish/pub", "s3://publish/pub/"])
@pytest.mark.parametrize("filters", FILTERS, ids=json.dumps)
def test_an_upload_keeps_what_its_source_has(
    filters: dict[str, Any], target: str, run: Any, memory_aws: Store, source: Path
) -> None:
    beside = ["pub", "pub-archive/2019.csv", "pub.txt", "pub_2025.parquet"]
    for key in (*beside, "pub/old.txt", "pub/sub/other.txt", "pub/extra.txt", "pub/sub/extra.txt"):
        memory_aws.put("publish", key, "was there")
    step = run("s3.upload", source=str(source), target=target, **filters)
    kept = ["pub/extra.txt", "pub/sub/extra.txt"] if "include" in filters else []
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 2 - len(kept))
    assert keys(memory_aws) == sorted(
        [*beside, "pub/new.txt", "pub/old.txt", "pub/sub/other.txt", *kept]
    )


@pytest.mark.parametrize("filters", FILTERS, ids=json.dumps)
def test_a_download_keeps_what_its_source_has(
    filters: dict[str, Any], run: Any, memory_aws: Store, source: Path, tmp_path: Path
) -> None:
    for name in ("new.txt", "old.txt", "sub/other.txt"):
        entry = memory_aws.put("landing", f"src/{name}", (source / name).read_bytes())
        if name != "new.txt":
            entry.modified = entry.modified.replace(year=2020)
    for name in ("in/old.txt", "in/sub/other.txt", "in/extra.txt", "in-beside/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("was there")
    step = run("s3.download", source="s3://landing/src/", target=f"{tmp_path}/in/", **filters)
    kept = {"extra.txt"} if "include" in filters else set()
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 1 - len(kept))
    found = {
        str(path.relative_to(tmp_path / "in"))
        for path in (tmp_path / "in").rglob("*")
        if path.is_file()
    }
    assert found == {"new.txt", "old.txt", "sub/other.txt"} | kept
    assert (tmp_path / "in-beside/x.txt").exists()


def test_links_that_are_skipped_are_in_the_source(
    run: Any, memory_aws: Store, source: Path
) -> None:
    (source / "link.txt").symlink_to(source / "new.txt")
    (source / "folder").symlink_to(source / "sub")
    for key in ("pub/link.txt", "pub/folder/other.txt", "pub/extra.txt"):
        memory_aws.put("publish", key, "was there")
    step = run("s3.upload", source=str(source), target="s3://publish/pub/", symlinks="skip")
    assert (step.status, step.outputs["deleted"]) == ("succeeded", 1)
    assert {"pub/link.txt", "pub/folder/other.txt"} < set(keys(memory_aws))


@pytest.mark.parametrize("filters", [{}, {"include": ["*.csv"]}], ids=json.dumps)
def test_an_empty_source_deletes_nothing(
    filters: dict[str, Any], run: Any, memory_aws: Store, tmp_path: Path, source: Path
) -> None:
    folder = source if filters else tmp_path / "empty"
    folder.mkdir(exist_ok=True)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/extra.csv").write_text("x")
    memory_aws.put("publish", "pub/extra.csv", "x")
    memory_aws.put("publish", "from/", "")  # a folder marker alone
    up = run("s3.upload", source=str(folder), target="s3://publish/pub/", on_empty="ok", **filters)
    down = run("s3.download", source="s3://publish/from/", target=f"{tmp_path}/in/", on_empty="ok")
    assert [(step.status, step.outputs["deleted"]) for step in (up, down)] == [("succeeded", 0)] * 2
    assert ("pub/extra.csv" in keys(memory_aws), (tmp_path / "in/extra.csv").exists()) == (
        True,
        True,
    )


def test_a_file_that_comes_during_the_upload_is_not_deleted(
    run: Any, memory_aws: Store, source: Path
) -> None:
    memory_aws.put("publish", "pub/late.txt", "was there")

    def come(request: Request) -> None:
        if request.method == "GET" and "list-type" in request.query:
            (source / "late.txt").write_text("late")

    memory_aws.after = come
    step = run("s3.upload", source=str(source), target="s3://publish/pub/")
    assert step.status == "succeeded"
    assert memory_aws.objects["publish", "pub/late.txt"].body == b"late"


@pytest.mark.parametrize("refused", ["DELETE", "POST"])
def test_an_extra_object_that_stays_is_a_failure(
    refused: str, run: Any, memory_aws: Store, source: Path
) -> None:
    memory_aws.put("publish", "pub/a\x01" if refused == "DELETE" else "pub/a", "x")
    memory_aws.put("publish", "pub/b" if refused == "DELETE" else "pub/b\x01", "x")
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied") if (request.service, request.method) == ("s3", refused) else None
    )
    step = run("s3.upload", source=str(source), target="s3://publish/pub/")
    assert (step.status, step.error.type) == ("failed", "AccessDenied")
    assert "1 of 2 extra objects" in step.error.message
    assert len(keys(memory_aws)) == 4


# folder or object


def test_a_place_is_a_folder_or_an_object() -> None:
    bare, folder = S3Uri("b", "orders"), S3Uri("b", "orders/")
    assert [resolve_target(uri, to_folder=True) for uri in (bare, folder, S3Uri("b"))] == [
        folder,
        folder,
        S3Uri("b"),
    ]
    assert [resolve_target(uri, to_folder=False) for uri in (bare, folder)] == [bare, folder]
    assert [possible_targets(bare, to_folder=each) for each in (None, True, False)] == [
        (bare, folder),
        (folder,),
        (bare,),
    ]
    assert [possible_targets(uri, to_folder=None) for uri in (folder, S3Uri("b", "*"))] == [
        (folder,),
        (S3Uri("b", "*"),),
    ]


STEPS: dict[str, dict[str, Any]] = {
    "folder": {"action": "s3.upload", "source": "src", "target": "s3://publish/orders"},
    "folder with a slash": {
        "action": "s3.upload",
        "source": "src/",
        "target": "s3://publish/orders",
    },
    "mirrored": {
        "action": "s3.upload",
        "source": "src/",
        "target": "s3://publish/orders",
        "delete_extra": True,
        "max_delete": 9,
    },
    "glob": {
        "action": "s3.upload",
        "source": "src/*.txt",
        "target": "s3://publish/orders",
        "if_exists": "skip_same",
    },
    "list": {"action": "s3.upload", "source": ["src/new.txt"], "target": "s3://publish/orders"},
    "one file": {"action": "s3.upload", "source": "src/new.txt", "target": "s3://publish/orders"},
    "copy of a prefix": {
        "action": "s3.copy",
        "source": "s3://landing/in/",
        "target": "s3://publish/orders",
        "move": True,
    },
    "copy of one": {
        "action": "s3.copy",
        "source": "s3://landing/in/one",
        "target": "s3://publish/orders",
        "move": True,
    },
    "copy of a list": {
        "action": "s3.copy",
        "objects": ["s3://landing/in/one"],
        "target": "s3://publish/orders",
    },
}


@pytest.mark.parametrize("session_policy", ["none", "auto"])
@pytest.mark.parametrize("name", STEPS)
def test_policies_cover_where_a_step_writes(
    name: str, session_policy: str, rolerunner: Any, tmp_path: Path, source: Path
) -> None:
    """A sandbox that is made from the spec allows what ``iam`` prints and no more."""
    role = {"arn": WRITER, "session_policy": session_policy}
    spec = {
        "version": 1,
        "name": "t",
        "roles": {"writer": role},
        "steps": [{"id": "it", "role": "writer", **STEPS[name]}],
    }
    (tmp_path / "job.yaml").write_text(json.dumps(spec))
    completed = rolerunner(
        "run", "job.yaml", "--sandbox", "--result", "r.json", "--log-format", "json"
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    written = json.loads((tmp_path / "r.json").read_text())["steps"][0]["outputs"]["objects"][
        "count"
    ]
    assert written >= 1
    printed = rolerunner("iam", "job.yaml", "--format", "json").stdout
    assert ("publish/orders/*" in printed, '"arn:aws:s3:::publish/orders*"' in printed) == (
        name != "copy of one",
        False,
    )
