"""Steps that run once for each item."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.actions.base import Action, OutputsWithWarning, StepContext
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import FieldError, StepError
from rolerunner.events import ItemFinished, StepProgress
from rolerunner.model import Failure, Permission, Retry, S3Uri, Step
from rolerunner.redaction.secrets import register_secret
from rolerunner.run import items as items_module
from rolerunner.run import progress as progress_module
from rolerunner.run.attempts import CompletedWork
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.items import ItemPlace, execute_step
from rolerunner.selection.collisions import ClaimedNames
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.expressions import parse_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ITEM = parse_template("${{ item }}")


class Bench:
    """Runs a step whose work the test gives; records the contexts of its items."""

    def __init__(
        self, tmp_path: Path, work: Callable[[Any, StepContext], Mapping[str, Any]]
    ) -> None:
        bench = self
        self.contexts: list[StepContext] = []
        self.cancel = Cancel()

        class Probe(Action):
            """Calls the test's work with its item."""

            value: Any = None

            def run(self, context: StepContext) -> Mapping[str, Any]:
                bench.contexts.append(context)
                return work(self.value, context)

            def permissions(self) -> Mapping[str, list[Permission]]:
                return {}

        unused: Any = None
        environment = RunEnvironment(
            {"probe": Probe}, unused, unused, tmp_path, tmp_path, cancel=self.cancel
        )
        self.events: list[Any] = []
        self.run = RunContext("r", {}, environment, 4, self.events.append)

    def execute(self, for_each: Any, scope: Any = None, **more: Any) -> CompletedWork:
        resumed = more.pop("is_resumed", False)
        step = Step("it", "probe", {"value": ITEM}, for_each=for_each, **more)
        return execute_step(step, {"run": {}, **(scope or {})}, self.run, is_resumed=resumed)


def echo(value: Any, _: StepContext) -> Mapping[str, Any]:
    return {"value": value}


def test_outputs_are_lists_in_the_order_of_the_items(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda value, _: {"value": value, **({"odd": 1} if value % 2 else {})})
    done = bench.execute([3, 1, 2])
    assert done.outputs == {"value": [3, 1, 2], "odd": [1, 1, None]}
    assert (done.attempts, done.warning, done.left) == (1, None, ())
    folders = {context.workdir for context in bench.contexts}
    assert folders == {tmp_path / "it.items" / str(number) for number in range(3)}


def test_no_items_are_no_outputs(tmp_path: Path) -> None:
    done = Bench(tmp_path, echo).execute([])
    assert (done.outputs, done.attempts) == ({}, 1)


def test_items_share_the_claims_of_their_targets_and_know_of_earlier_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, echo)
    bench.execute([1, 2], is_resumed=True)
    first, second = bench.contexts
    assert first.target_claims is second.target_claims is not None
    assert first.is_resumed
    bench.execute([1])
    assert not bench.contexts[-1].is_resumed


def test_a_step_without_items_runs_once_in_the_folder_of_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, echo)
    step = Step("it", "probe", {"value": 1})
    assert execute_step(step, {}, bench.run).outputs == {"value": 1}
    (context,) = bench.contexts
    assert (context.workdir, context.target_claims, context.is_resumed) == (tmp_path, None, False)


@pytest.mark.parametrize(("own", "expected"), [(0, 4), (2, 2)])
def test_as_many_items_run_at_once_as_the_step_or_the_job_says(
    own: int, expected: int, tmp_path: Path
) -> None:
    lock, full = threading.Lock(), threading.Event()
    counts: list[int] = []
    running = 0

    def work(value: Any, _: StepContext) -> Mapping[str, Any]:
        nonlocal running
        with lock:
            running += 1
            counts.append(running)
            if running == expected:
                full.set()
        assert full.wait(30)
        with lock:
            running -= 1
        return {"value": value}

    Bench(tmp_path, work).execute(list(range(8)), max_parallel=own)
    assert max(counts) == expected


def test_the_first_failure_keeps_others_from_starting(tmp_path: Path) -> None:
    def work(value: Any, _: StepContext) -> Mapping[str, Any]:
        if value == "b":
            raise StepError("broken", hint="mend it", type="Broken")
        return {}

    bench = Bench(tmp_path, work)
    with pytest.raises(StepError, match=r"^item 1 \(b\): broken$") as raised:
        bench.execute(["a", "b", "c", "d"], max_parallel=1)
    assert (raised.value.hint, raised.value.type) == ("mend it", "Broken")
    assert len(bench.contexts) == 2


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ({"key": "in/a", "size": 1}, "in/a"),
        ({"name": "x"}, "{'name': 'x'}"),
        ("x" * 301, "x" * 300),
        (7, "7"),
    ],
)
def test_an_item_that_fails_is_named(item: Any, shown: str, tmp_path: Path) -> None:
    def work(*_: Any) -> Mapping[str, Any]:
        raise StepError("broken")

    with pytest.raises(StepError) as raised:
        Bench(tmp_path, work).execute([item])
    assert raised.value.message == f"item 0 ({shown}): broken"


def test_a_stopped_run_starts_no_item(tmp_path: Path) -> None:
    bench = Bench(tmp_path, echo)
    bench.cancel.set()
    with pytest.raises(StepError, match="stopped before all items were done") as raised:
        bench.execute([1])
    assert (raised.value.type, bench.contexts) == ("Stopped", [])


def test_a_warning_of_any_item_is_the_steps(tmp_path: Path) -> None:
    def work(value: Any, _: StepContext) -> Mapping[str, Any]:
        warning: Optional[Failure] = Failure("T", f"{value} warns") if value else None
        return {} if warning is None else OutputsWithWarning({}, warning)

    done = Bench(tmp_path, work).execute([0, 1, 2])
    assert done.warning == Failure("T", "1 warns")


@pytest.mark.parametrize(
    ("items", "kind"), [("text", "str"), ({"a": 1}, "dict"), (7, "int"), (None, "NoneType")]
)
def test_items_are_a_list(items: Any, kind: str, tmp_path: Path) -> None:
    for_each = parse_template("${{ params }}")
    with pytest.raises(FieldError) as refused:
        Bench(tmp_path, echo).execute(for_each, {"params": items})
    assert str(refused.value).endswith(
        f"'for_each' must be a list of at most 100,000 items, not {kind}"
    )


def test_the_number_of_items_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items_module, "MAX_ITEMS", 2)
    bench = Bench(tmp_path, echo)
    assert bench.execute([1, 2]).outputs == {"value": [1, 2]}
    with pytest.raises(FieldError, match="a list of at most 2 items"):
        bench.execute([1, 2, 3])


def test_items_are_no_secrets(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="'for_each' must not loop over secrets") as refused:
        Bench(tmp_path, echo).execute([register_secret("secret-of-test-items")])
    assert "read the secrets in the step" in refused.value.hint


def test_the_attempts_of_a_step_are_the_most_of_an_item(tmp_path: Path) -> None:
    seen: set[Any] = set()

    def work(value: Any, _: StepContext) -> Mapping[str, Any]:
        if value == 2 and value not in seen:
            seen.add(value)
            raise StepError("slow", type="SlowDown")
        return {}

    assert Bench(tmp_path, work).execute([1, 2], retry=Retry(3, 0.0)).attempts == 2


def test_objects_are_items_as_their_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "objects.jsonl"
    path.write_text('{"key": "in/a", "size": 1, "etag": "e", "modified": "2026-01-01T00:00:00Z"}\n')
    objects = ObjectList(path, S3Uri("b", "in/"), 1, 1)
    for_each = parse_template("${{ params }}")
    (value,) = Bench(tmp_path, echo).execute(for_each, {"params": objects}).outputs["value"]
    assert (value["key"], value["uri"], value["size"]) == ("in/a", "s3://b/in/a", 1)
    monkeypatch.setattr(items_module, "MAX_ITEMS", 1)
    assert Bench(tmp_path, echo).execute(for_each, {"params": objects}).outputs["value"] == [value]
    monkeypatch.setattr(items_module, "MAX_ITEMS", 0)
    with pytest.raises(FieldError, match="for_each over 1 objects; the limit is 0") as refused:
        Bench(tmp_path, echo).execute(for_each, {"params": objects})
    assert refused.value.hint == "pass the list to an action's 'objects'"


def test_the_end_of_each_item_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(value: Any, context: StepContext) -> Mapping[str, Any]:
        context.progress(StepProgress("it", 1, value))
        if value == 3:
            raise StepError("broken", type="Broken")
        return OutputsWithWarning({}, Failure("T", "some failed")) if value == 2 else {}

    monkeypatch.setattr(progress_module, "INTERVAL_SECONDS", 0.0)
    bench = Bench(tmp_path, work)
    with pytest.raises(StepError):
        bench.execute([1, 2, 3, 4], max_parallel=1)
    ended = [each for each in bench.events if isinstance(each, ItemFinished)]
    assert [(each.step_id, each.item, each.status, each.error) for each in ended] == [
        ("it", "1", "succeeded", None),
        ("it", "2", "warning", None),
        ("it", "3", "failed", Failure("Broken", "broken")),
    ]
    assert all(0 <= each.seconds < 60 for each in ended)
    told = [each for each in bench.events if isinstance(each, StepProgress)]
    assert [(each.objects, each.bytes) for each in told] == [
        (0, 0), (0, 1), (1, 1), (1, 3), (2, 3), (2, 6), (3, 6),
    ]  # fmt: skip


def test_a_place_is_below_the_folder_of_the_run(tmp_path: Path) -> None:
    with closing(ClaimedNames()) as claims:
        place = ItemPlace.of("loop", 7, Bench(tmp_path, echo).run, claims)
    assert (place.workdir, place.claims) == (tmp_path / "loop.items" / "7", claims)
