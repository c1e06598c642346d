"""Each action on S3 with a fault at each of its requests: nothing is lost or half done.

A step runs once without faults, and then once for each of its requests, which S3 refuses, loses or
answers to nobody. It ends as without the fault, or as a failure with a hint that has left all there
was, and of what is new only whole objects and files.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.actions import registry
from rolerunner.storage.boto import retries
from tests.memory_aws import DROP, LOSE, Outcome, Request, Response, Store, error

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.model import Failure

READ, WRITE = {"role": "reader"}, {"role": "writer"}
BETWEEN = {"source_role": "reader", "target_role": "writer"}
IN, OUT = {"source": "s3://landing/in/"}, {"target": "s3://publish/out/"}
BACKUP = {"max_delete": 5, "backup": "s3://publish/backup/"}
STEPS: dict[str, list[dict[str, Any]]] = {
    "s3.concat": [
        {**WRITE, **IN, "target": "s3://publish/whole"},
        {**BETWEEN, **IN, "target": "s3://publish/whole"},
    ],
    "s3.copy": [
        {**WRITE, **IN, **OUT},
        {**BETWEEN, **IN, **OUT, "compress": "gzip"},
        {**WRITE, **IN, **OUT, "move": True},
        {**BETWEEN, **IN, **OUT, "move": True},
        {**WRITE, **IN, **OUT, "delete_extra": True, **BACKUP},
        {**WRITE, **IN, **OUT, "if_exists": "fail"},
    ],
    "s3.delete": [{**WRITE, "source": "s3://publish/out/", **BACKUP}],
    "s3.download": [
        {**READ, **IN, "target": "files/"},
        {**READ, **IN, "target": "files/", "if_exists": "skip_same", "compare": "checksum"},
    ],
    "s3.list": [{**READ, **IN}],
    "s3.pack": [{**BETWEEN, **IN, "target": "s3://publish/packed.tar"}],
    "s3.presign": [{**READ, "source": "s3://landing/in/0.txt"}],
    "s3.read": [{**READ, "source": "s3://landing/in/0.txt"}],
    "s3.tag": [{**READ, **IN, "add": {"a": "b"}}],
    "s3.unpack": [{**BETWEEN, "source": "s3://publish/packed.tar", "target": "s3://publish/un/"}],
    "s3.upload": [
        {**WRITE, "source": "here/", **OUT},
        {**WRITE, "source": "here/", **OUT, "if_exists": "fail", "compress": "gzip"},
    ],
    "s3.verify": [{**BETWEEN, **IN, "target": "s3://publish/same/"}],
    "s3.wait": [{**READ, **IN, "max_wait": "1s"}],
    "s3.write": [
        {**WRITE, "target": "s3://publish/written", "text": "x"},
        {**WRITE, "target": "s3://publish/written", "text": "x", "if_none_match": True},
    ],
}
ELSEWHERE = {
    "athena.query": "test_catalog_and_queries.py",
    "aws.call": "test_aws_call_and_python_call.py",
    "catalog.partitions": "test_catalog_and_queries.py",
    "glue.run": "test_catalog_and_queries.py",
    "python.call": "test_exit_and_result.py",
    "s3.cleanup": "test_cleanup.py",
    "s3.restore": "test_restore.py",
    "sftp.download": "test_sftp_transfers.py",
    "sftp.upload": "test_sftp_transfers.py",
    "spark.sql": "test_spark.py",
}
"""Actions that work on what S3 in memory does not have, and the tests of their faults."""
PAGE = Response(200, {"Content-Type": "text/html"}, b"<html><body>sign in</body></html>")
FAULTS: list[tuple[str, Outcome]] = [
    ("refused once", error(500, "InternalError")),
    ("not executed", DROP),
    ("of an expired session", error(400, "ExpiredToken")),
    ("forbidden", error(403, "AccessDenied")),
    ("answered by a proxy", PAGE),
]
NEWER = datetime(2026, 1, 1, tzinfo=timezone.utc)


def name_step(step: tuple[str, dict[str, Any]]) -> str:
    kind, fields = step
    options = sorted(set(fields) - {"source", "target", "role", "max_delete", "text", "max_wait"})
    return "-".join([kind, *(name for name in options if name != "target_role")])


ALL_STEPS = [(kind, fields) for kind, several in STEPS.items() for fields in several]


@dataclass(frozen=True)
class End:
    """The end of a run: its status, and all that is there."""

    status: str
    error: Failure | None
    objects: dict[str, bytes]
    tags: dict[tuple[str, str], str]
    files: dict[str, bytes]


class Sweep:
    """Runs one step on the same objects and files again and again."""

    def __init__(self, store: Store, folder: Path, engine: str, kind: str, fields: Any) -> None:
        self._store, self._folder = store, folder
        (folder / "here").mkdir()
        for number in range(2):
            (folder / f"here/{number}.txt").write_text(f"text {number}")
        role = "arn:aws:iam::444455556666:role/"
        spec = {
            "version": 1,
            "name": "faults",
            "engine": engine,
            "roles": {"reader": f"{role}reader", "writer": f"{role}writer"},
            "steps": [{"id": "it", "action": kind, **fields}],
        }
        (folder / "spec.yaml").write_text(json.dumps(spec))
        self._job = api.load(folder / "spec.yaml")
        self._packed = b""
        if kind == "s3.unpack":
            packing = {"id": "it", "action": "s3.pack", **STEPS["s3.pack"][0]}
            (folder / "pack.yaml").write_text(json.dumps({**spec, "steps": [packing]}))
            self._fill()
            api.run(api.load(folder / "pack.yaml"))
            self._packed = store.bodies()["s3://publish/packed.tar"]

    def _fill(self) -> dict[str, bytes]:
        """Puts all objects in their places, and returns them."""
        store = self._store
        for there in (store.objects, store.uploads, store.requests):
            there.clear()
        for number in range(2):
            for place in (("landing", "in/"), ("publish", "same/")):
                name, text = f"{place[1]}{number}.txt", f"text {number}"
                store.put(place[0], name, text, modified=NEWER, tags="kept=1")
        store.put("publish", "out/old.txt", "old", modified=NEWER)
        if self._packed:
            store.put("publish", "packed.tar", self._packed, modified=NEWER)
        for path in (self._folder / "files").glob("*"):
            path.unlink()
        return store.bodies()

    def run(self, fault: Outcome = None, at: int = -1) -> End:
        """Runs the step with a fault at the request of this number."""
        self._fill()
        seen = iter(range(10_000))

        def hook(request: Request) -> Outcome:
            return fault if request.service == "s3" and next(seen) == at else None

        self._store.hook = hook
        result = api.run(self._job)
        self._store.hook = None
        files = (self._folder / "files").glob("*")
        return End(
            result.status,
            result.steps[0].error,
            self._store.bodies(),
            {place: entry.tags for place, entry in self._store.objects.items()},
            {path.name: path.read_bytes() for path in files},
        )

    def check_faults(self, positions: slice, *, others: bool) -> None:
        """Runs the step with lost answers, and ``others`` in turn, at each of these requests."""
        clean = self.run()
        assert clean.status == "succeeded", clean.error
        requests = [each for each in self._store.requests if each.service == "s3"]
        before = self._fill()
        for at in range(len(requests))[positions]:
            self._check_end(self.run(LOSE, at), clean, before, f"answer {at} lost")
            if others:
                name, fault = FAULTS[at % len(FAULTS)]
                self._check_end(self.run(fault, at), clean, before, f"request {at} {name}")

    def check_fault(self, name: str, fault: Outcome) -> None:
        """Runs the step with one fault at each of its requests in turn."""
        clean = self.run()
        count = sum(each.service == "s3" for each in self._store.requests)
        before = self._fill()
        for at in range(count):
            self._check_end(self.run(fault, at), clean, before, f"request {at} {name}")

    def _check_end(self, end: End, clean: End, before: dict[str, bytes], where: str) -> None:
        if end.status == "succeeded":
            assert (end.objects, end.tags, end.files) == (clean.objects, clean.tags, clean.files), (
                where
            )
            return
        assert end.error is not None, where
        assert end.error.hint, (where, end.error)
        assert set(before.values()) <= set(end.objects.values()), where
        whole = {**before, **clean.objects}
        for uri, body in end.objects.items():
            assert body in (before.get(uri), whole.get(uri)) or "/backup/" in uri, (where, uri)
        for file, body in end.files.items():
            assert body == clean.files.get(file), (where, file)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pauses between attempts are as short as they can be."""
    monkeypatch.setattr(random, "random", lambda: 0.0)
    monkeypatch.setattr(retries, "_BASE_SECONDS", 0.001)
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    monkeypatch.chdir(tmp_path)


def test_each_action_has_its_faults() -> None:
    assert set(STEPS) | set(ELSEWHERE) == set(registry())


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("kind", STEPS)
def test_a_lost_answer_in_the_middle_loses_nothing(
    kind: str, memory_aws: Store, tmp_path: Path
) -> None:
    sweep = Sweep(memory_aws, tmp_path, "fast", kind, STEPS[kind][-1])
    sweep.check_faults(slice(1, None, 3), others=False)


@pytest.mark.usefixtures("_quick")
def test_the_page_of_a_proxy_is_no_answer_about_tags(memory_aws: Store, tmp_path: Path) -> None:
    sweep = Sweep(memory_aws, tmp_path, "fast", "s3.tag", STEPS["s3.tag"][0])
    sweep.check_fault("answered by a proxy", PAGE)


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("engine", ["fast", pytest.param("boto3", marks=pytest.mark.release)])
@pytest.mark.parametrize("step", ALL_STEPS, ids=name_step)
def test_a_fault_at_any_request_loses_nothing(
    engine: str, step: tuple[str, dict[str, Any]], memory_aws: Store, tmp_path: Path
) -> None:
    Sweep(memory_aws, tmp_path, engine, *step).check_faults(slice(None), others=True)
