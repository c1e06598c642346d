"""What every action is made of: its fields with templates filled in, its work, its permissions, its docs."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union

from pydantic import BeforeValidator, Field

from rolerunner.errors import EmptySource, StepError
from rolerunner.events import StepProgress
from rolerunner.model import Failure, Permission, Role, S3Uri
from rolerunner.spec.fields import DYNAMIC, json_form
from rolerunner.spec.kinds import Kind
from rolerunner.storage.base import Cancel, Outcome, Storage
from rolerunner.storage.manifest import ManifestWriter, ObjectList

if TYPE_CHECKING:
    from rolerunner.credentials import Sessions  # imports boto3, which checking a spec does not need

__all__ = ["Action", "Failures", "Field", "ObjectsField", "OnEmpty", "StepContext", "Warned", "nothing_there", "transfer"]


@dataclass(frozen=True)
class StepContext:
    """What an action is given besides its fields."""

    step_id: str
    run_id: str
    roles: Mapping[str, Role]
    sessions: "Sessions"
    open_storage: Callable[[Role], Storage]
    workdir: Path
    """A folder of this run for manifests; it outlives the step."""
    project: Path
    """The folder of the spec."""
    params: Mapping[str, Any]
    cancel: Cancel
    progress: Callable[[StepProgress], None]
    note: Callable[[str, str, Mapping[str, Any]], None]
    """level, message, values."""
    resuming: bool = False
    """May an earlier try or run have done a part of this step? Then what is already right is not done again."""

    def storage(self, role_field: str = "role") -> Storage:
        """S3 under one of the step's roles."""
        return self.open_storage(self.roles[role_field])

    def manifest(self) -> ManifestWriter:
        """The step's list of objects, to write."""
        return ManifestWriter(self.workdir / f"{self.step_id}.jsonl")


class Warned(dict[str, Any]):
    """Outputs of a step that is done but for what ``warning`` says: the step ends as ``warning``."""

    def __init__(self, outputs: Mapping[str, Any], warning: Failure) -> None:
        super().__init__(outputs)
        self.warning = warning


class Action(Kind):
    """An action with its fields filled in: ``run`` does the work, ``permissions`` tells what it needs."""

    @abstractmethod
    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Do the work and give the outputs. Raises StepError."""

    @abstractmethod
    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Role field -> what the role must be allowed."""


def _objects(value: Any) -> Any:
    if isinstance(value, list):
        return [S3Uri.parse(each) if isinstance(each, str) else each for each in value]
    return value


ObjectsField = Annotated[
    Union[ObjectList, list[S3Uri], None],
    BeforeValidator(_objects),
    json_form(anyOf=[{"type": "string", "pattern": r"\$\{\{"}, {"type": "array", "items": {"type": "string"}}]),
    DYNAMIC,
]
"""Objects that another step listed, or a list of s3:// URIs."""
OnEmpty = Annotated[Literal["error", "warn", "ok"], DYNAMIC]


def nothing_there(on_empty: str, what: str, context: StepContext) -> None:
    """There is nothing to work on: an error, a warning, or fine. Raises EmptySource."""
    if on_empty == "error":
        raise EmptySource(f"there is nothing in {what}", hint="say 'on_empty: ok' or 'on_empty: warn' where that is fine")
    if on_empty == "warn":
        context.note("warning", f"there is nothing in {what}", {})


@dataclass(frozen=True)
class Failures:
    """Failures of single objects: how many, and the first few."""

    count: int
    first: tuple[Outcome, ...]


_SHOWN = 3


def transfer(outcomes: Iterable[Outcome], context: StepContext, total: int = 0, total_bytes: int = 0) -> Mapping[str, Any]:
    """Drain an operation over objects: a manifest line and progress for each. Raises StepError if any object failed.

    Gives ``count`` and ``bytes`` of what was done, and ``manifest``, the list of objects.
    """
    done, size, failed = 0, 0, 0
    first: list[Outcome] = []
    with context.manifest() as manifest:
        for outcome in outcomes:
            manifest.add(_line(outcome), outcome.size)
            if outcome.error is None:
                done, size = done + 1, size + outcome.size
            else:
                failed += 1
                first += [outcome] if len(first) < _SHOWN else []
            context.progress(StepProgress(context.step_id, done + failed, size, total, total_bytes))
    if first:
        raise _failure(Failures(failed, tuple(first)), done + failed)
    return {"count": done, "bytes": size, "manifest": manifest}


def _line(outcome: Outcome) -> dict[str, Any]:
    line: dict[str, Any] = {"uri": str(outcome.uri), "bytes": outcome.size, "status": outcome.status}
    optional = {
        "path": str(outcome.path or ""), "etag": outcome.etag, "version": outcome.version,
        "reason": outcome.error.message if outcome.error else "",
    }  # fmt: skip
    return {**line, **{key: value for key, value in optional.items() if value}}


def _failure(failures: Failures, total: int) -> StepError:
    error = failures.first[0].error
    assert error is not None  # noqa: S101 - Failures holds failed outcomes only
    if total == 1:
        return error
    reasons = "; ".join(f"{each.uri}: {each.error.message}" for each in failures.first if each.error)
    more = f"; and {failures.count - len(failures.first):,} more" if failures.count > len(failures.first) else ""
    return StepError(f"{failures.count:,} of {total:,} objects failed: {reasons}{more}", hint=error.hint, type=error.type)


def optional_uri(value: Optional[S3Uri]) -> str:
    """For messages."""
    return str(value) if value else "the listed objects"
