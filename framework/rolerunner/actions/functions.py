"""Loads and calls functions of the user's code."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Optional

from rolerunner.actions.base import StepContext
from rolerunner.actions.import_path import extend_import_path
from rolerunner.actions.signatures import import_folders, is_path
from rolerunner.common.awsglue_errors import explain_awsglue_error
from rolerunner.common.cancellation import Cancel
from rolerunner.common.failures import format_user_frames
from rolerunner.common.json_values import check_json, safe_text
from rolerunner.errors import FunctionFailed, StepError
from rolerunner.events import StepProgress
from rolerunner.iam.actions_table import derive_permissions
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import JOB, Permission, Role


def load_function(name: str, context: StepContext) -> Callable[..., Any]:
    """Imports a function by its ``module:function``. Raises FunctionFailed."""
    with extend_import_path(context.project):
        return _find_function(name, context.project)


def call_function(
    name: str, function: Callable[..., Any], arguments: Mapping[str, Any], context: StepContext
) -> Mapping[str, Any]:
    """Calls the function and returns its outputs, which have a JSON form. Raises StepError."""
    try:
        with extend_import_path(context.project):  # a function may import, too
            returned = function(FunctionContext.of(context), **arguments)
    except StepError:
        raise
    except BaseException as error:
        # a function is not the process: whatever it raises ends the step alone
        raise _build_failure(name, error, context.roles.get("role")) from error
    return _check_outputs(name, returned)


@dataclass(frozen=True)
class FunctionContext:
    """The first argument of a function."""

    role: Optional[Role]
    """The step's role; None for a step without one."""
    params: Mapping[str, Any]
    """The params of the run, with the types that the spec declares."""
    run_id: str
    """The id of the run, as ``${{ run.id }}``."""
    workdir: Path
    """A folder of this run that outlives the step."""
    cancel: Cancel
    """Set when the run is to stop. Long loops check ``cancel.is_set()``, or call
    ``cancel.stop_if_set()``; ``cancel.wait(seconds)`` sleeps until then."""
    _context: StepContext

    @classmethod
    def of(cls, context: StepContext) -> "FunctionContext":
        """Returns the context for a step's function."""
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
        """Returns a boto3 Session of the step's role, which renews itself.

        Raises StepError for a step without a role.
        """
        return self._context.sessions.session(self._find_role())

    def client(self, service: str, region: str = "") -> Any:
        """Returns a boto3 client of the step's role, created once and shared.

        Raises StepError for a step without a role.
        """
        return self._context.sessions.client(self._find_role(), service, region=region)

    def log(self, message: str, **values: Any) -> None:
        """Writes a message to the run's log."""
        self._context.note("info", message, values)

    def progress(self, objects: int, total: int = 0) -> None:
        """Reports how many objects of ``total`` are done; 0 if the total is not known."""
        self._context.progress(StepProgress(self._context.step_id, objects, 0, total))

    def _find_role(self) -> Role:
        if self.role is None:
            raise StepError(
                "this step has no role, so it has no session",
                hint=f"set 'role: ALIAS' or 'role: {JOB.name}'",
                type="NoRole",
            )
        return self.role


def _import_module(name: str, project: Path) -> Any:
    if not is_path(name):
        _refuse_other_project(name, project)
        return importlib.import_module(name)
    path = (project / name).resolve()
    spec = importlib.util.spec_from_file_location(f"rolerunner_file_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up there
    spec.loader.exec_module(module)
    return module


def _refuse_other_project(name: str, project: Path) -> None:
    """Raises ImportError if a module of this name was imported from another spec's folder.

    Python imports a name once in a process, so the other spec's code would run for this one.
    """
    top = name.partition(".")[0]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    beside = PathFinder.find_spec(top, [str(folder) for folder in import_folders(project)])
    if loaded is None or beside is None or beside.origin is None:
        return
    first = PathFinder.find_spec(top, sys.path)
    is_imported_from_beside = first is not None and first.origin == beside.origin
    if is_imported_from_beside and Path(loaded).resolve() != Path(beside.origin).resolve():
        file = name.replace(".", "/") + ".py"
        raise ImportError(
            f"'{top}' was imported from {loaded} earlier in this process, this spec's is "
            f"{beside.origin}: rename one of them, or name the file: '{file}:FUNCTION'"
        )


def _find_function(name: str, project: Path) -> Callable[..., Any]:
    module_name, _, function_name = name.rpartition(":")
    try:
        module = _import_module(module_name, project)
    except ImportError as error:
        hint = explain_awsglue_error(error) or (
            "it is searched beside the spec, in the two folders above it and in installed packages"
        )
        hint = "\n".join(each for each in (hint, format_user_frames(error)) if each)
        raise FunctionFailed(
            f"the module of '{name}' cannot be imported: {safe_text(error)}", hint=hint
        ) from error
    except BaseException as error:
        raise _build_failure(name, error) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise FunctionFailed(
            f"the module '{module_name}' ({module.__file__}) has no function '{function_name}'"
        )
    return function  # type: ignore[no-any-return]


def _build_failure(name: str, error: BaseException, role: Optional[Role] = None) -> FunctionFailed:
    """Returns what a function raised, with the frames of the user's code."""
    places, kind = format_user_frames(error), type(error).__name__
    if isinstance(error, SystemExit):
        hint = "\n".join(each for each in ("return, or raise an exception", places) if each)
        code = error.code if isinstance(error.code, (int, str)) else safe_text(error.code)
        return FunctionFailed(f"'{name}' called sys.exit({code!r})", hint=hint)
    if hasattr(error, "response") and hasattr(
        error, "operation_name"
    ):  # botocore's ClientError, without importing it
        from rolerunner.iam.aws_errors import AwsError  # noqa: PLC0415 - for a failure alone
        from rolerunner.iam.denials import explain_error  # noqa: PLC0415 - as above

        explained = explain_error(
            AwsError.from_client_error(error), role, needed=_find_needed_permissions(error)
        )
        hint = "\n".join(each for each in (explained.hint, places) if each)
        return FunctionFailed(
            f"'{name}' raised {kind}: {explained.message}", hint=hint, type=explained.type
        )
    hint = "\n".join(each for each in (explain_awsglue_error(error), places) if each)
    return FunctionFailed(f"'{name}' raised {kind}: {safe_text(error)}", hint=hint, type=kind)


def _find_needed_permissions(error: BaseException) -> Sequence[Permission]:
    """Returns the permissions of the AWS call that failed, if botocore's frame identifies it."""
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


def _check_outputs(name: str, returned: Any) -> Mapping[str, Any]:
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
