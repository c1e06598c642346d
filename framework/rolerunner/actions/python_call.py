"""python.call"""

import importlib
import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Optional

from pydantic import BeforeValidator, ValidationInfo, model_validator

from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.signatures import folders_of, is_path, mistakes
from rolerunner.diagnosis import AwsError, step_failed
from rolerunner.errors import FunctionFailed, StepError
from rolerunner.events import StepProgress
from rolerunner.model import JOB, Permission, Role
from rolerunner.spec.fields import DYNAMIC, FOLDER, json_form
from rolerunner.storage.base import Cancel

_FUNCTION = re.compile(r"(?:[A-Za-z_][\w.]*|[^:\0]+\.py):[A-Za-z_]\w*\Z")
_HERE = Path(__file__).resolve()


def _function(value: Any) -> Any:
    if isinstance(value, str) and not _FUNCTION.match(value):
        raise ValueError(f"must be module:function, as in jobs.orders:clean, or file.py:function, not '{value}'")
    return value


class PythonCall(Action):
    """Call a function of yours with a context that holds a boto3 session of the step's role."""

    kind: ClassVar[str] = "python.call"
    example: ClassVar[Mapping[str, Any]] = {"arguments": {"source": "/tmp/orders/", "target": "/tmp/clean/"}}
    outputs: ClassVar[Optional[Mapping[str, str]]] = None
    needs_role: ClassVar[bool] = False

    function: Annotated[str, BeforeValidator(_function), json_form(type="string"), DYNAMIC] = Field(
        description="module:function, found beside the spec, in the two folders above it, or among installed packages; or file.py:function.",
        examples=["jobs.orders:clean"],
    )
    arguments: dict[str, Annotated[Any, DYNAMIC]] = Field(
        default_factory=dict, description="Keyword arguments of the function.", examples=[{"folder": "/tmp/orders/"}]
    )

    @model_validator(mode="after")
    def _fits_the_function(self, info: ValidationInfo) -> "PythonCall":
        folder = (info.context or {}).get(FOLDER)
        if folder and isinstance(self.function, str) and isinstance(self.arguments, dict):
            problems = list(mistakes(self.function, self.arguments, Path(folder)))
            if problems:
                raise ValueError("; ".join(problems))
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Call it; a mapping that it returns becomes the outputs."""
        with _importable(context.project):
            function = _found(self.function, context.project)
        try:
            returned = function(FunctionContext.of(context), **self.arguments)
        except StepError:
            raise
        except SystemExit as error:  # a function is not the process: it ends the step alone
            raise FunctionFailed(f"'{self.function}' called sys.exit({error.code!r})", hint="return, or raise an exception") from None
        except Exception as error:
            raise _failed(self.function, error, context.roles.get("role")) from error
        return _outputs(self.function, returned)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """What the step says under `permissions`: what the function calls cannot be told from outside."""
        return {}


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
        return cls(context.roles.get("role"), context.params, context.run_id, context.workdir, context.cancel, context)

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
            raise StepError("this step has no role, so it has no session", hint=f"say 'role: ALIAS' or 'role: {JOB.name}'", type="NoRole")
        return self.role


@contextmanager
def _importable(project: Path) -> Iterator[None]:
    """The spec's folder and those above it can be imported from while a function is looked up."""
    added = [str(folder) for folder in folders_of(project)]
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
        raise FunctionFailed(f"the module of '{name}' cannot be imported: {error}", hint=hint) from error
    except Exception as error:
        raise _failed(name, error) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise FunctionFailed(f"the module '{module_name}' ({module.__file__}) has no function '{function_name}'")
    return function  # type: ignore[no-any-return]


def _failed(name: str, error: BaseException, role: Optional[Role] = None) -> FunctionFailed:
    """The user's own frames, without this package's."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).resolve() != _HERE]
    places = "\n".join(f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames[-4:])
    if hasattr(error, "response") and hasattr(error, "operation_name"):  # botocore's ClientError, without importing it
        told = step_failed(AwsError.of(error), role)
        hint = "\n".join(each for each in (told.hint, places) if each)
        return FunctionFailed(f"'{name}' raised {type(error).__name__}: {told.message}", hint=hint, type=told.type)
    return FunctionFailed(f"'{name}' raised {type(error).__name__}: {error}", hint=places, type=type(error).__name__)


def _outputs(name: str, returned: Any) -> Mapping[str, Any]:
    outputs = {} if returned is None else returned if isinstance(returned, Mapping) else {"result": returned}
    try:
        json.dumps(outputs)
    except (TypeError, ValueError) as error:
        raise FunctionFailed(f"what '{name}' returned has no JSON form: {error}", hint="return a dict of plain values") from None
    return dict(outputs)
