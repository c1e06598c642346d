"""python.call"""

import importlib
import importlib.util
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Optional, Union

from pydantic import BeforeValidator, ValidationInfo, model_validator

from rolerunner.actions.base import Action, Field, InputPath, StepContext
from rolerunner.actions.objects import DistributionFields, ObjectsField
from rolerunner.actions.signatures import find_call_errors, import_folders, is_path
from rolerunner.common.cancellation import Cancel
from rolerunner.common.failures import user_frames
from rolerunner.common.json_values import check_json, safe_text
from rolerunner.errors import FunctionFailed, StepError
from rolerunner.events import StepProgress
from rolerunner.iam.actions_table import derive_permissions
from rolerunner.iam.denials import AwsError, explain_error
from rolerunner.model import JOB, Permission, Role
from rolerunner.redaction.redact import redact, redact_text
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.fields import ALL_HERE, DYNAMIC, FOLDER, PACKAGES, json_form
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access
from rolerunner.storage.workers.distributed import WorkerSetup
from rolerunner.storage.workers.distributed_listing import TASKS_PER_SLOT

_FUNCTION = re.compile(r"(?:[A-Za-z_][\w.]*|[^:\0]+\.py):[A-Za-z_]\w*\Z")
_MOST_PATHS = 10_000
"""Paths that a function returned and that a resumed run compares."""


def _function(value: Any) -> Any:
    if isinstance(value, str) and not _FUNCTION.match(value):
        raise ValueError(
            f"must be module:function, as in jobs.orders:clean, or file.py:function, not '{value}'"
        )
    return value


class PythonCall(DistributionFields, Action):
    """Call a function of yours with a context that holds a boto3 session of the step's role.

    With ``objects`` it is called for a batch of them at a time, as ``function(context, objects=[...], **arguments)``: each is a
    mapping of key, uri, size, etag and modified. What it returns must be numbers, which are added up. With ``distribute: spark``
    batches go to executors; one whose executor died is called again elsewhere, so the function must bear being called twice.
    A resumed run calls a function again if files or folders whose paths it returned are gone or changed.
    """

    kind: ClassVar[str] = "python.call"
    example: ClassVar[Mapping[str, Any]] = {
        "arguments": {"source": "/tmp/orders/", "target": "/tmp/clean/"}
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = None
    needs_role: ClassVar[bool] = False

    function: Annotated[str, BeforeValidator(_function), json_form(type="string"), DYNAMIC] = Field(
        description="module:function, found beside the spec, in the two folders above it, or among installed packages; or file.py:function.",
        examples=["jobs.orders:clean"],
    )
    arguments: dict[str, Annotated[Any, DYNAMIC]] = Field(
        default_factory=dict,
        description="Keyword arguments of the function.",
        examples=[{"folder": "/tmp/orders/"}],
    )

    objects: ObjectsField = Field(
        None,
        description="Objects that another step listed: the function is called for some of them at a time, which it gets as 'objects'.",
        examples=["${{ steps.find.objects }}"],
    )
    batch: Annotated[int, Field(ge=1, le=10_000), DYNAMIC] = Field(
        100, description="How many objects a call gets at most.", examples=[10]
    )

    idempotent: bool = Field(
        True,
        description="false: after an unknown outcome (a timeout, a lost connection, a dead run) neither retry nor resume calls it again.",
        examples=[False],
    )

    @model_validator(mode="after")
    def _fits_the_function(self, info: ValidationInfo) -> "PythonCall":
        if self.distribute is not None and self.idempotent is False:
            raise ValueError(
                "'distribute' may call the function twice for some objects, so 'idempotent: false' does not go with it"
            )
        if self.objects is None and self.distribute is not None:
            raise ValueError("'distribute' needs 'objects': they are what is spread")
        if (
            self.objects is not None
            and isinstance(self.arguments, dict)
            and "objects" in self.arguments
        ):
            raise ValueError("'objects' is said twice, beside 'arguments' and in them")
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
                    complete=about.get(ALL_HERE, False),
                )
            )
            if problems:
                raise ValueError("; ".join(problems))
        return self

    @classmethod
    def takes_secret(cls, path: tuple[Union[str, int], ...]) -> bool:
        """Arguments may be secrets."""
        return path[0] == "arguments"

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Call it; a mapping that it returns becomes the outputs."""
        if self.objects is None:
            return _called(
                self.function, _looked_up(self.function, context), self.arguments, context
            )
        outputs: dict[str, Any] = {}
        done = 0
        for objects, returned in self._of_batches(context):
            outputs, done = _added(self.function, outputs, returned), done + objects
            context.progress(StepProgress(context.step_id, done, 0, len(self.objects)))
        return outputs

    def tracked_paths(
        self, context: StepContext, outputs: Mapping[str, Any]
    ) -> Iterator[Union[str, InputPath]]:
        """Paths that the function returned: what it says that it made. Those that it was given must be there, no more."""
        del context
        yield from islice(filter(_is_there, _texts_of(outputs)), _MOST_PATHS)
        yield from map(InputPath, islice(filter(_is_there, _texts_of(self.arguments)), _MOST_PATHS))

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """What the step says under `permissions`: what the function calls cannot be told from outside."""
        return {}

    def _of_batches(self, context: StepContext) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """How many objects, and what the function returned for them; here, or on other machines. Raises StepError."""
        spread = context.spread(self.distribute)
        if spread is None:
            function = _looked_up(self.function, context)
            for objects in self._batches():
                context.cancel.stop_if_set()
                yield (
                    len(objects),
                    _called(
                        self.function, function, {**self.arguments, "objects": objects}, context
                    ),
                )
            return
        place, about = spread.settled_place(), _About.of(context)
        parts = (
            _Batch(self.function, self.arguments, objects, about, place)
            for objects in self._batches()
        )
        waves = iter(lambda: list(islice(parts, spread.pool.slots() * TASKS_PER_SLOT)), [])
        for results in spread.run(
            waves, context.cancel, f"rolerunner: {self.function} as {about.role}"
        ):
            for said in (line for result in results for line in result.notes):
                context.note(*said)
            yield from ((result.objects, result.returned) for result in results)

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        listed = self.objects
        if isinstance(listed, ObjectList):
            items = (listed.describe(info) for info in listed)
        else:
            items = (
                {"key": uri.key, "uri": str(uri), "size": None, "etag": "", "modified": ""}
                for uri in listed or ()
            )
        return iter(lambda: list(islice(items, self.batch)), [])


@dataclass(frozen=True)
class _About:
    """The step, as far as a function on another machine is told of it."""

    step_id: str
    run_id: str
    role: Optional[Role]
    project: Path
    params: Mapping[str, Any]

    @classmethod
    def of(cls, context: StepContext) -> "_About":
        return cls(
            context.step_id,
            context.run_id,
            context.roles.get("role"),
            context.project,
            dict(context.params),
        )


@dataclass(frozen=True)
class _Returned:
    """What a function gave for a batch, and what it had to say."""

    objects: int
    returned: Mapping[str, Any]
    notes: list[tuple[str, str, Mapping[str, Any]]]


@dataclass(frozen=True)
class _Batch:
    """One call of the function on another machine."""

    function: str
    arguments: Mapping[str, Any]
    objects: list[dict[str, Any]]
    about: _About
    place: WorkerSetup

    def __call__(self, again: bool) -> _Returned:
        del again  # the function is told nothing of it: it must bear being called twice
        notes: list[tuple[str, str, Mapping[str, Any]]] = []
        about, sessions = self.about, self.place.sessions()
        with tempfile.TemporaryDirectory(prefix="rolerunner-") as folder:
            context = StepContext(
                step_id=about.step_id, run_id=about.run_id, roles={"role": about.role} if about.role else {}, sessions=sessions,
                open_storage=lambda role, access, flow: self.place.opener(sessions, role, access or Access(), flow or Pacer()),
                workdir=Path(folder), project=about.project, params=about.params, cancel=Cancel(), progress=lambda _: None,
                note=lambda level, message, values: notes.append((level, message, values)),
            )  # fmt: skip
            returned = _called(
                self.function,
                _looked_up(self.function, context),
                {**self.arguments, "objects": self.objects},
                context,
            )
        return _Returned(
            len(self.objects),
            returned,
            [
                (level, redact_text(message), redact(dict(values)))
                for level, message, values in notes
            ],
        )


def _looked_up(name: str, context: StepContext) -> Callable[..., Any]:
    with _importable(context.project):
        return _found(name, context.project)


def _called(
    name: str, function: Callable[..., Any], arguments: Mapping[str, Any], context: StepContext
) -> Mapping[str, Any]:
    try:
        returned = function(FunctionContext.of(context), **arguments)
    except StepError:
        raise
    except (
        BaseException
    ) as error:  # a function is not the process: whatever it raises ends the step alone
        raise _failed(name, error, context.roles.get("role")) from error
    return _outputs(name, returned)


def _added(name: str, outputs: Mapping[str, Any], returned: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of several calls as one: numbers are added up."""
    wrong = next(
        (
            key
            for key, value in returned.items()
            if isinstance(value, bool) or not isinstance(value, (int, float))
        ),
        None,
    )
    if wrong is not None:
        raise FunctionFailed(
            f"'{name}' returned a '{wrong}' that is no number",
            hint="called for many batches, it must return numbers: they are added up",
        )
    return {**outputs, **{key: outputs.get(key, 0) + value for key, value in returned.items()}}


@dataclass(frozen=True)
class FunctionContext:
    """What a function is called with: its first argument."""

    role: Optional[Role]
    params: Mapping[str, Any]
    run_id: str
    workdir: Path
    """A folder of this run that outlives the step."""
    cancel: Cancel
    """Set when the run is to stop: long loops should look at ``cancel.is_set()``."""
    _context: StepContext

    @classmethod
    def of(cls, context: StepContext) -> "FunctionContext":
        """From the step's own."""
        return cls(
            context.roles.get("role"),
            context.params,
            context.run_id,
            context.workdir,
            context.cancel,
            context,
        )

    @property
    def session(self) -> Any:
        """A boto3 Session of the step's role that renews itself. Raises StepError for a step without a role."""
        return self._context.sessions.session(self._role())

    def client(self, service: str, region: str = "") -> Any:
        """A boto3 client of the step's role, made once and shared. Raises StepError for a step without a role."""
        return self._context.sessions.client(self._role(), service, region=region)

    def log(self, message: str, **values: Any) -> None:
        """Say something in the run's log."""
        self._context.note("info", message, values)

    def progress(self, objects: int, total: int = 0) -> None:
        """Say how far it is."""
        self._context.progress(StepProgress(self._context.step_id, objects, 0, total))

    def _role(self) -> Role:
        if self.role is None:
            raise StepError(
                "this step has no role, so it has no session",
                hint=f"say 'role: ALIAS' or 'role: {JOB.name}'",
                type="NoRole",
            )
        return self.role


@contextmanager
def _importable(project: Path) -> Iterator[None]:
    """The spec's folder and those above it can be imported from while a function is looked up."""
    added = [str(folder) for folder in import_folders(project)]
    before = list(sys.path)
    sys.path.extend(folder for folder in added if folder not in sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


def _module(name: str, project: Path) -> Any:
    if not is_path(name):
        return importlib.import_module(name)
    path = (project / name).resolve()
    spec = importlib.util.spec_from_file_location(f"rolerunner_file_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up there
    spec.loader.exec_module(module)
    return module


def _found(name: str, project: Path) -> Callable[..., Any]:
    module_name, _, function_name = name.rpartition(":")
    try:
        module = _module(module_name, project)
    except ImportError as error:
        hint = "it is looked for beside the spec, in the two folders above it, and among installed packages"
        hint = "\n".join(each for each in (hint, user_frames(error)) if each)
        raise FunctionFailed(
            f"the module of '{name}' cannot be imported: {safe_text(error)}", hint=hint
        ) from error
    except BaseException as error:
        raise _failed(name, error) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise FunctionFailed(
            f"the module '{module_name}' ({module.__file__}) has no function '{function_name}'"
        )
    return function  # type: ignore[no-any-return]


def _failed(name: str, error: BaseException, role: Optional[Role] = None) -> FunctionFailed:
    """What a function raised, with the user's own frames."""
    places, kind = user_frames(error), type(error).__name__
    if isinstance(error, SystemExit):
        hint = "\n".join(each for each in ("return, or raise an exception", places) if each)
        code = error.code if isinstance(error.code, (int, str)) else safe_text(error.code)
        return FunctionFailed(f"'{name}' called sys.exit({code!r})", hint=hint)
    if hasattr(error, "response") and hasattr(
        error, "operation_name"
    ):  # botocore's ClientError, without importing it
        told = explain_error(AwsError.of(error), role, needed=_needed_by(error))
        hint = "\n".join(each for each in (told.hint, places) if each)
        return FunctionFailed(f"'{name}' raised {kind}: {told.message}", hint=hint, type=told.type)
    return FunctionFailed(f"'{name}' raised {kind}: {safe_text(error)}", hint=places, type=kind)


def _needed_by(error: BaseException) -> Sequence[Permission]:
    """The permissions of the call of AWS that failed, as far as botocore's own frame tells which one it was."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "_make_api_call":
            client, parameters = frame.f_locals.get("self"), frame.f_locals.get("api_params")
            model = getattr(getattr(client, "meta", None), "service_model", None)
            if model is not None and isinstance(parameters, Mapping):
                return derive_permissions(
                    str(model.service_name),
                    str(model.signing_name),
                    str(getattr(error, "operation_name", "")),
                    parameters,
                )
    return ()


def _texts_of(value: Any) -> Iterator[str]:
    """Every text in a value, at whatever level."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            pending += each.values()
        elif isinstance(each, (list, tuple)):
            pending += each


def _is_there(text: str) -> bool:
    """Is it the path of a file or folder, rather than a word that happens to be the name of one?"""
    try:
        return os.sep in text and "://" not in text and os.path.exists(text)  # noqa: PTH110 - of each of many texts
    except ValueError:  # a NUL is in it
        return False


def _outputs(name: str, returned: Any) -> Mapping[str, Any]:
    outputs = (
        {}
        if returned is None
        else returned
        if isinstance(returned, Mapping)
        else {"result": returned}
    )
    try:
        check_json(outputs)
    except ValueError as error:
        raise FunctionFailed(
            f"what '{name}' returned has no JSON form: {error}",
            hint="return a dict of plain values",
        ) from None
    return dict(outputs)
