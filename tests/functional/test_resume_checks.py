"""A resumed run verifies files, their machine and lists of the state before it uses them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from tests import memory_aws as memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.memory_aws import Store

FUNCTIONS = """
from pathlib import Path

def make(context, target, more=None):
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made.csv").write_text("made")
    return {"answer": {"paths": [str(folder)]}}

def consume(context, folder):
    return {"count": len(list(Path(folder).iterdir()))}

def late(context, path):
    if not Path(path).exists():
        raise ValueError("partner is late")
"""
NAMES = [f"{number}.csv" for number in range(5)]


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "resume_code.py").write_text(FUNCTIONS)
    yield
    sys.modules.pop("resume_code", None)


class Job:
    """A job whose last step fails until it is resumed."""

    def __init__(self, tmp_path: Path, store: Store, where: str, engine: str = "fast") -> None:
        self.folder, self.store, self.where, self.engine = tmp_path, store, where, engine
        for name in NAMES:
            store.put("landing", f"orders/{name}", f"order {name}")

    def run(self, steps: str) -> dict[str, str]:
        state = (
            f"{{location: {self.folder}/state}}"
            if self.where == "folder"
            else "{location: 's3://ops/state/', role: job}"
        )
        late = (
            "  - {id: late, action: python.call, function: 'resume_code:late', "
            f"arguments: {{path: {self.folder}/partner}}}}\n"
        )
        (self.folder / "job.yaml").write_text(
            f"version: 1\nname: t\nengine: {self.engine}\nstate: {state}\nsteps:\n{steps}{late}"
        )
        result = api.run(api.load(self.folder / "job.yaml"), run_key="k")
        return {step.id: step.status for step in result.steps}

    def resume(self, steps: str) -> dict[str, str]:
        (self.folder / "partner").touch()
        completed = self.run(steps)
        assert completed.pop("late") == "succeeded"
        return completed

    def state_files(self, word: str) -> list[str]:
        """The names of what the state keeps beside its document, whose content holds a word."""
        return [
            name
            for name in self._names()
            if not name.endswith((".json", ".lock")) and word in self.read(name)
        ]

    def _names(self) -> list[str]:
        if self.where == "folder":
            return [
                str(path.relative_to(self.folder / "state"))
                for path in (self.folder / "state").rglob("*")
                if path.is_file()
            ]
        return [
            key.removeprefix("state/")
            for bucket, key in list(self.store.objects)
            if bucket == "ops"
        ]

    def read(self, name: str) -> str:
        if self.where == "folder":
            return (self.folder / "state" / name).read_text()
        return bytes(self.store.objects["ops", f"state/{name}"].body).decode()

    def write(self, name: str, text: str) -> None:
        if self.where == "folder":
            (self.folder / "state" / name).write_text(text)
        else:
            self.store.put("ops", f"state/{name}", text)

    def remove(self, name: str) -> None:
        if self.where == "folder":
            (self.folder / "state" / name).unlink()
        else:
            del self.store.objects["ops", f"state/{name}"]


@pytest.fixture(params=["folder", "s3"])
def job(request: pytest.FixtureRequest, tmp_path: Path, memory_aws: Store) -> Job:
    return Job(tmp_path, memory_aws, request.param)


def replace_keeping_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_text("O" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "none": lambda folder: None,
    "removed": lambda folder: (folder / "0.csv").unlink(),
    "changed": lambda folder: (folder / "1.csv").write_text("something else"),
    "cut short": lambda folder: os.truncate(folder / "2.csv", 2),
    "changed, of the same size and time": lambda folder: replace_keeping_size_and_time(
        folder / "3.csv"
    ),
    "a folder instead": lambda folder: replace_by_folder(folder / "4.csv"),
    "added": lambda folder: (folder / "more.csv").write_text("more"),
}
FETCH = {
    "prefix": (
        "  - {{id: fetch, action: s3.download, role: job, source: s3://landing/orders/, "
        "target: {tmp}/work/{more}}}\n"
    ),
    "list": (
        "  - {{id: find, action: s3.list, role: job, source: s3://landing/orders/}}\n"
        "  - {{id: fetch, action: s3.download, role: job, "
        "objects: '${{{{ steps.find.objects }}}}', target: {tmp}/work/{more}}}\n"
    ),
    "for_each": (
        "  - {{id: fetch, for_each: [0, 1, 2, 3, 4], action: s3.download, role: job, "
        "source: 's3://landing/orders/${{{{ item }}}}.csv',"
        " target: '{tmp}/work/${{{{ item }}}}.csv'{more}}}\n"
    ),
}


def has_right_files(tmp_path: Path) -> bool:
    return all((tmp_path / "work" / name).read_text() == f"order {name}" for name in NAMES)


@pytest.mark.parametrize(
    ("change", "source"),
    [
        *((change, "prefix") for change in CHANGES),
        ("removed", "list"),
        ("none", "for_each"),
        ("changed", "for_each"),
    ],
)
def test_files_that_were_fetched_are_compared(
    change: str, source: str, job: Job, tmp_path: Path
) -> None:
    steps = (
        FETCH[source].format(tmp=tmp_path, more="")
        + "  - {id: look, action: python.call, function: 'resume_code:consume', needs: [fetch],"
    )
    steps += f" arguments: {{folder: {tmp_path}/work/}}}}\n"
    assert job.run(steps)["fetch"] == "succeeded"
    CHANGES[change](tmp_path / "work")
    if change == "a folder instead":
        (tmp_path / "work/4.csv").rmdir()
    completed = job.resume(steps)
    expected = "skipped" if change in ("none", "added") else "succeeded"
    assert (completed["fetch"], completed["look"], has_right_files(tmp_path)) == (
        expected,
        expected,
        True,
    ), "what needs them is done again, too"


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_both_engines_compare(engine: str, tmp_path: Path, memory_aws: Store) -> None:
    job = Job(tmp_path, memory_aws, "folder", engine)
    steps = FETCH["prefix"].format(tmp=tmp_path, more="")
    job.run(steps)
    (tmp_path / "work/0.csv").unlink()
    assert (job.resume(steps)["fetch"], has_right_files(tmp_path)) == ("succeeded", True)


def test_a_file_added_to_a_mirror_is_a_change(job: Job, tmp_path: Path) -> None:
    steps = FETCH["prefix"].format(tmp=tmp_path, more=", delete_extra: true, max_delete: 5")
    job.run(steps)
    (tmp_path / "work/more.csv").touch()
    assert job.resume(steps) == {"fetch": "succeeded"}
    assert not (tmp_path / "work/more.csv").exists()


@pytest.mark.parametrize(
    "more",
    [
        "compare: size",
        "if_exists: skip_same, compare: size",
        "if_exists: skip_same, compare: size_mtime",
    ],
)
def test_a_changed_file_of_the_same_size_is_fetched_again(
    more: str, tmp_path: Path, memory_aws: Store
) -> None:
    """Comparison by size decides what is updated; it does not accept a changed file."""
    job = Job(tmp_path, memory_aws, "folder")
    steps = FETCH["prefix"].format(tmp=tmp_path, more=f", {more}")
    job.run(steps)
    (tmp_path / "work/1.csv").write_text("ORDER 1.csv")
    assert (job.resume(steps)["fetch"], has_right_files(tmp_path)) == ("succeeded", True)


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_an_upload_that_goes_on_compares_contents(
    engine: str, tmp_path: Path, memory_aws: Store
) -> None:
    """A resumed step that overwrites replaces objects of the same size and other bytes."""
    job = Job(tmp_path, memory_aws, "folder", engine)
    (tmp_path / "out").mkdir()
    for name in NAMES:
        (tmp_path / "out" / name).write_text(f"order {name}")
    memory_aws.put("publish", "orders/1.csv", "ORDER 1.csv")
    refused = ["orders/4.csv"]
    memory_aws.hook = lambda request: (
        memory.error(403, "AccessDenied")
        if request.method == "PUT" and request.key in refused
        else None
    )
    steps = (
        f"  - {{id: publish, action: s3.upload, role: job, source: {tmp_path}/out/, "
        "target: 's3://publish/orders/', compare: size}\n"
    )
    assert job.run(steps)["publish"] == "failed"
    refused.clear()
    memory_aws.put("publish", "orders/1.csv", "ORDER 1.csv")
    assert job.resume(steps) == {"publish": "succeeded"}
    assert {
        name: memory_aws.objects["publish", f"orders/{name}"].body.decode() for name in NAMES
    } == {name: f"order {name}" for name in NAMES}


def edit_document(job: Job, change: Any) -> None:
    read = json.loads(job.read("t/k.json"))
    change(read["steps"])
    job.write("t/k.json", json.dumps(read))


@pytest.mark.parametrize(
    "what", ["another machine", "list gone", "list cut", "digest", "a release that kept none"]
)
def test_what_a_step_left_must_be_known(what: str, job: Job, tmp_path: Path) -> None:
    steps = FETCH["prefix"].format(tmp=tmp_path, more="")
    job.run(steps)
    (left,) = job.state_files("work/0.csv")
    if what == "another machine":
        edit_document(job, lambda read: read["fetch"]["left"].update(host="elsewhere"))
    elif what == "list gone":
        job.remove(left)
    elif what == "list cut":
        job.write(left, "".join(job.read(left).splitlines(keepends=True)[:2]))
    elif what == "digest":
        edit_document(job, lambda read: read["fetch"]["left"].update(sha256="0" * 64))
    else:
        edit_document(job, lambda read: read["fetch"].pop("left"))
    assert job.resume(steps) == {"fetch": "succeeded"}


LISTS = (
    "  - {id: find, action: s3.list, role: job, source: s3://landing/orders/}\n"
    "  - {id: twice, for_each: [0, 1], action: s3.list, role: job, "
    "source: 's3://landing/orders/${{ item }}'}\n"
)


@pytest.mark.parametrize(
    ("change", "release"),
    [
        *(
            (change, "this")
            for change in (
                "none",
                "gone",
                "cut",
                "empty",
                "a line changed",
                "a line more",
                "no JSON",
            )
        ),
        *((change, "the previous") for change in ("none", "cut", "no JSON")),
    ],
)
def test_a_list_in_the_state_must_be_whole(
    change: str, release: str, job: Job, tmp_path: Path
) -> None:
    steps = LISTS + (
        "  - {id: fetch, action: s3.download, role: job, "
        f"objects: '${{{{ steps.find.objects }}}}', target: {tmp_path}/work/}}\n"
    )
    job.run(steps)
    found = job.state_files('"orders/1.csv"') if change != "none" else []
    for name in found:
        lines = job.read(name).splitlines(keepends=True)
        changed = {
            "cut": lines[:-1],
            "empty": [],
            "a line more": [*lines, lines[0]],
            "no JSON": [*lines[:-1], "{"],
            "a line changed": [*lines[:-1], lines[-1].replace('"size": 11', '"size": 12')],
        }
        if change == "gone":
            job.remove(name)
        else:
            job.write(name, "".join(changed[change]))
    if release == "the previous":
        edit_document(
            job, lambda read: [each.pop("sha256") for each in find_lists(read["find"]["outputs"])]
        )
        edit_document(
            job, lambda read: [each.pop("sha256") for each in find_lists(read["twice"]["outputs"])]
        )
    completed = job.resume(steps)
    again = "skipped" if change == "none" else "succeeded"
    assert (completed["find"], completed["twice"]) == (again, again)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == NAMES


def find_lists(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return (
            [value["$objects"]]
            if set(value) == {"$objects"}
            else [found for each in value.values() for found in find_lists(each)]
        )
    return (
        [found for each in value for found in find_lists(each)] if isinstance(value, list) else []
    )


def test_an_inventory_is_compared(job: Job, tmp_path: Path) -> None:
    steps = (
        "  - {id: find, action: s3.list, role: job, source: s3://landing/orders/, "
        f"inventory: {tmp_path}/all.csv}}\n"
    )
    job.run(steps)
    whole = (tmp_path / "all.csv").read_text()
    (tmp_path / "all.csv").write_text("")
    assert job.resume(steps) == {"find": "succeeded"}
    assert (tmp_path / "all.csv").read_text() == whole


@pytest.mark.parametrize(
    "change", ["none", "file removed", "file changed", "folder removed", "given path removed"]
)
def test_paths_that_a_function_returned_are_compared(change: str, job: Job, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    steps = "  - {id: made, action: python.call, function: 'resume_code:make', arguments: "
    steps += f"{{target: {tmp_path}/made/, more: [{{path: {tmp_path}/given}}]}}}}\n"
    job.run(steps)
    made = tmp_path / "made/made.csv"
    if change == "file changed":
        made.write_text("other")
    elif change == "given path removed":
        (tmp_path / "given").rmdir()
    elif change != "none":
        made.unlink()
    if change == "folder removed":
        made.parent.rmdir()
    assert job.resume(steps) == {"made": "skipped" if change == "none" else "succeeded"}
    assert made.read_text() == "made"


def test_a_folder_that_others_work_in_counts_by_its_being_there(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = (
        "  - {id: made, action: python.call, function: 'resume_code:make', "
        f"arguments: {{target: {tmp_path}/}}}}\n"
    )
    job.run(steps)
    (tmp_path / "another").touch()
    (tmp_path / "made.csv").write_text("other")
    assert job.resume(steps) == {"made": "skipped"}


def test_a_step_that_is_not_asked_for_is_not_done_again(job: Job, tmp_path: Path) -> None:
    class Notes:
        def __init__(self) -> None:
            self.said: list[str] = []

        def notify(self, event: Any) -> None:
            if type(event).__name__ == "Note" and event.level == "warning":
                self.said.append(event.values["reason"])

    steps = FETCH["list"].format(tmp=tmp_path, more="")
    job.run(steps)
    (tmp_path / "work/0.csv").write_text("corrected by hand")
    notes = Notes()
    (tmp_path / "partner").touch()
    result = api.run(api.load(tmp_path / "job.yaml"), run_key="k", only=["late"], observers=[notes])
    assert (result.status, result.steps[1].status) == ("succeeded", "skipped")
    assert notes.said == [f"{tmp_path}/work/0.csv changed"]
