"""Defines the action ``python.call``."""

import os
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Optional, TypeVar, Union

from pydantic import BeforeValidator, ValidationInfo, model_validator

from rolerunner.actions.base import Action, Field, InputPath, StepContext
from rolerunner.actions.functions import call_function, load_function
from rolerunner.actions.placement import MeasuredWork
from rolerunner.actions.shared_fields import DistributionFields, ObjectsField
from rolerunner.actions.signatures import find_call_errors
from rolerunner.events import StepProgress
from rolerunner.model import Permission
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.field_types import DYNAMIC, FOLDER, PACKAGES, PACKAGES_PRESENT, json_form

if TYPE_CHECKING:
    from rolerunner.storage.workers.distributed import Distribution

T = TypeVar("T")
_FUNCTION = re.compile(r"(?:[A-Za-z_][\w.]*|[^:\0]+\.py):[A-Za-z_]\w*\Z")
_MAX_PATHS = 10_000
"""Paths that a function returned and that a resumed run compares."""


def _check_function_name(value: Any) -> Any:
    if isinstance(value, str) and not _FUNCTION.match(value):
        raise ValueError(
            f"must be module:function, as in jobs.orders:clean, or file.py:function, not '{value}'"
        )
    return value


class PythonCall(DistributionFields, Action):
    """Call a Python function of yours with a context that holds a boto3 session of the step's role.

    With ``objects`` the function is called for a batch of objects at a time, as
    ``function(context, objects=[...], **arguments)``; each object is a mapping of key, uri, size,
    etag and modified. It must return numbers, which are added up. With ``distribute: spark``
    batches go to executors; if an executor dies, its batches are called again on another one, so
    the function must be idempotent. A resumed run calls the function again if files or folders
    whose paths it returned are missing or changed.
    """

    kind: ClassVar[str] = "python.call"
    calls_user_code: ClassVar[bool] = True
    looks_up_objects: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {
        "arguments": {"source": "/tmp/orders/", "target": "/tmp/clean/"}
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = None
    needs_role: ClassVar[bool] = False

    function: Annotated[
        str, BeforeValidator(_check_function_name), json_form(type="string"), DYNAMIC
    ] = Field(
        description=(
            "module:function, searched beside the spec, in the two folders above it and "
            "in installed packages; or file.py:function."
        ),
        examples=["jobs.orders:clean"],
    )
    arguments: dict[str, Annotated[Any, DYNAMIC]] = Field(
        default_factory=dict,
        description="Keyword arguments for the function.",
        examples=[{"folder": "/tmp/orders/"}],
    )

    objects: ObjectsField = Field(
        None,
        description=(
            "Objects that another step or a file lists; the function is called for batches of "
            "them, which it receives as 'objects'."
        ),
        examples=["${{ steps.find.objects }}"],
    )
    batch: Annotated[int, Field(ge=1, le=10_000), DYNAMIC] = Field(
        100, description="Maximum number of objects in a batch.", examples=[10]
    )

    idempotent: bool = Field(
        True,
        description=(
            "false: after an unknown outcome (a timeout, a lost connection, a dead run), neither"
            " retry nor resume calls it again."
        ),
        examples=[False],
    )

    @model_validator(mode="after")
    def _fits_the_function(self, info: ValidationInfo) -> "PythonCall":
        if self.distribute is not None and self.idempotent is False:
            raise ValueError(
                "'distribute' may call the function twice for some objects,"
                " which 'idempotent: false' forbids"
            )
        if self.objects is None and self.distribute is not None:
            raise ValueError("'distribute' needs 'objects', which it distributes")
        if (
            self.objects is not None
            and isinstance(self.arguments, dict)
            and "objects" in self.arguments
        ):
            raise ValueError("'objects' is set twice: as a field and in 'arguments'")
        folder = (info.context or {}).get(FOLDER)
        if folder and isinstance(self.function, str) and isinstance(self.arguments, dict):
            given = self.arguments if self.objects is None else {**self.arguments, "objects": []}
            about = info.context or {}
            problems = list(
                find_call_errors(
                    self.function,
                    given,
                    Path(folder),
                    about.get(PACKAGES, ()),
                    complete=about.get(PACKAGES_PRESENT, False),
                )
            )
            if problems:
                raise ValueError("; ".join(problems))
        return self

    @classmethod
    def accepts_secret(cls, path: tuple[Union[str, int], ...]) -> bool:
        """Returns True for the arguments."""
        return path[0] == "arguments"

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Calls the function; a mapping that it returns becomes the outputs."""
        if self.objects is None:
            return call_function(
                self.function, load_function(self.function, context), self.arguments, context
            )
        # calls for batches take 10 ms to import
        from rolerunner.actions.function_batches import add_outputs  # noqa: PLC0415

        outputs: dict[str, Any] = {}
        done = 0
        for objects, returned in self._of_batches(context):
            outputs, done = add_outputs(self.function, outputs, returned), done + objects
            context.progress(StepProgress(context.step_id, done, 0, self._count_objects()))
        return outputs

    def tracked_paths(
        self, context: StepContext, outputs: Mapping[str, Any]
    ) -> Iterator[Union[str, InputPath]]:
        """Yields the paths that the function returned; of its arguments, that they still exist."""
        del context
        yield from islice(filter(_is_existing_path, _iter_texts(outputs)), _MAX_PATHS)
        yield from map(
            InputPath, islice(filter(_is_existing_path, _iter_texts(self.arguments)), _MAX_PATHS)
        )

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Those that the step declares under `permissions`; the function's calls are not known."""
        return {}

    def _of_batches(self, context: StepContext) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yields the size of each batch and what the function returned. Raises StepError."""
        cluster = context.open_distribution(self.distribute)
        if cluster is not None:
            listed = self.objects if isinstance(self.objects, ObjectList) else None
            entries = _read_lines(listed) if listed is not None else _pair(self._iterate_objects())
            yield from self._call_on_cluster(cluster, entries, listed, 0, context)
            return
        rest = self._iterate_objects()
        done, cluster = yield from self._call_here(rest, context)
        if cluster is not None:
            yield from self._call_on_cluster(cluster, _pair(rest), None, done, context)

    def _call_here(
        self, objects: Iterator[Any], context: StepContext
    ) -> Generator[tuple[int, Mapping[str, Any]], None, tuple[int, "Optional[Distribution]"]]:
        """Calls the function in this process, until a cluster is worth its start.

        Returns the number of objects done, and the cluster for the others.
        """
        from rolerunner.actions.function_batches import divide_batches  # noqa: PLC0415 - as above

        function = load_function(self.function, context)
        measured = MeasuredWork(self.distribute, self._count_objects(), context)
        done = 0
        for batch in divide_batches(objects, self.batch):
            context.cancel.stop_if_set()
            arguments = {**self.arguments, "objects": batch}
            yield len(batch), call_function(self.function, function, arguments, context)
            done += len(batch)
            cluster = measured.choose_cluster(done)
            if cluster is not None:
                return done, cluster
        measured.report_end(done)
        return done, None

    def _call_on_cluster(
        self,
        cluster: "Distribution",
        entries: Iterator[Any],
        listed: Optional[ObjectList],
        done: int,
        context: StepContext,
    ) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Calls the function on the machines of a cluster; ``entries`` are lines of ``listed``."""
        from rolerunner.actions.function_batches import (  # noqa: PLC0415 - as above
            FunctionBatches,
            ListedLines,
            StepDescription,
        )
        from rolerunner.storage.workers.timed_tasks import (  # noqa: PLC0415 - as above
            TaskFeed,
            TaskSizes,
        )

        setup, about = cluster.prepare_setup(), StepDescription.of(context)
        left = self._count_objects() - done
        sizes = TaskSizes(left, self.batch)
        if listed is not None:
            sizes = TaskSizes.of_light_items(left, self.batch, cluster.pool.slots())
        feed = TaskFeed(entries, sizes, cluster.pool.slots)

        def create_task(entries: Sequence[Any]) -> FunctionBatches:
            objects = ListedLines(b"".join(entries), listed) if listed is not None else entries
            return FunctionBatches(self.function, self.arguments, objects, self.batch, about, setup)

        title = f"rolerunner: {self.function} as {about.role}"
        for results in cluster.run(feed.create_waves(create_task), context.cancel, title):
            for worker_note in (line for result in results for line in result.notes):
                context.note(*worker_note)
            for result in results:
                feed.add_result(result.objects, result.seconds, result.list_entries())
                yield result.objects, result.returned

    def _count_objects(self) -> int:
        return len(self.objects) if isinstance(self.objects, (ObjectList, list)) else 0

    def _iterate_objects(self) -> Iterator[dict[str, Any]]:
        listed = self.objects
        if isinstance(listed, ObjectList):
            return (listed.describe(info) for info in listed)
        uris = listed if isinstance(listed, list) else []
        return (
            {"key": uri.key, "uri": str(uri), "size": None, "etag": "", "modified": ""}
            for uri in uris
        )


def _pair(items: Iterable[T]) -> Iterator[tuple[T, int]]:
    """Pairs items of tasks with bytes of their objects, which do not matter to a function."""
    return ((item, 0) for item in items)


def _read_lines(listed: ObjectList) -> Iterator[tuple[bytes, int]]:
    with listed.path.open("rb") as lines:
        yield from _pair(lines)


def _iter_texts(value: Any) -> Iterator[str]:
    """Yields every text in a value, at any level."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            pending += each.values()
        elif isinstance(each, (list, tuple)):
            pending += each


def _is_existing_path(text: str) -> bool:
    """Returns True for the path of a file or folder; a bare name is not taken for a path."""
    try:
        return os.sep in text and "://" not in text and os.path.exists(text)  # noqa: PTH110 - of each of many texts
    except ValueError:  # it contains a NUL
        return False
