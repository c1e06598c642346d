"""Records the outcomes of operations on many objects: manifest, progress, failures, outputs."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Optional, Union

from rolerunner.actions.base import OutputsWithWarning, StepContext
from rolerunner.actions.shared_fields import TransferFields
from rolerunner.actions.source_objects import SourceObjects
from rolerunner.errors import StepError
from rolerunner.events import StepProgress
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Failure, S3Uri
from rolerunner.selection.manifest import ObjectList
from rolerunner.storage.object_lines import OutcomeBlock
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Outcome

_NAMED_FAILURES = 3
"""Number of failed objects that a message names."""
_PROGRESS_SECONDS = 0.1
"""Seconds between two progress events."""
_MAX_INITIAL_FAILURES = 100
"""Failures before the first success that stop the step, so that a million are not tried in vain."""


@dataclass(frozen=True)
class TransferSummary:
    """The result of an operation on many objects."""

    objects: ObjectList
    count: int
    bytes: int
    skipped: int
    failed: int
    warning: Optional[Failure]

    def outputs(self, **more: Any) -> Mapping[str, Any]:
        """The step's outputs; they carry the warning, if there is one."""
        first = next(iter(more))
        outputs = {first: more[first], "count": self.count, "bytes": self.bytes, **more}
        return OutputsWithWarning(outputs, self.warning) if self.warning else outputs


class ByteProgress:
    """Counts the objects and bytes of a step, and reports them.

    ``total`` and ``total_bytes`` are 0 while they are unknown.
    """

    def __init__(self, context: StepContext, total: int = 0, total_bytes: int = 0) -> None:
        self._context = context
        self._total, self._total_bytes = total, total_bytes
        self.objects = self._moved = 0
        self._reported_at = 0.0

    def add_bytes(self, count: int) -> None:
        """Counts transferred bytes."""
        self._moved += count
        self._report()

    def add_object(self, outcome: Outcome) -> None:
        """Counts an object that ended. The bytes of one that was skipped are not transferred."""
        self.objects += 1
        if outcome.status == "skipped" and self._total_bytes:
            self._total_bytes = max(self._total_bytes - outcome.size, 1)
        self._report()

    def add_objects(self, count: int) -> None:
        """Counts objects that ended together."""
        self.objects += count
        self._report()

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported_at < _PROGRESS_SECONDS:
            return
        self._reported_at = now
        self._context.progress(
            StepProgress(
                self._context.step_id, self.objects, self._moved, self._total, self._total_bytes
            )
        )


def record_outcomes(
    outcomes: Iterable[Union[Outcome, OutcomeBlock]],
    context: StepContext,
    prefix: S3Uri,
    step: TransferFields,
    pacer: Pacer,
    gathered: Optional[SourceObjects],
    part: str = "",
    progress: Optional[ByteProgress] = None,
) -> TransferSummary:
    """Consumes the outcomes of an operation, and writes a line of the manifest for each.

    ``prefix`` contains its objects; ``part`` names another manifest than the step's own;
    ``progress`` knows other totals than those of ``gathered``. Raises StepError if more objects
    failed than may; the others have been processed then.
    """
    meter = progress or _open_progress(context, step, gathered)
    pacer.on_bytes = meter.add_bytes
    done = size = skipped = failed = 0
    first: list[Outcome] = []
    with context.manifest(part) as manifest, _closing_operation(outcomes):
        for outcome in outcomes:
            if isinstance(outcome, OutcomeBlock):
                manifest.add_outcome_block(outcome)
                failed, skipped = failed + outcome.failed, skipped + outcome.skipped
                done, size = done + outcome.done, size + outcome.bytes
                first += outcome.failures[: _NAMED_FAILURES - len(first)]
                meter.add_objects(outcome.count)
                if failed >= _MAX_INITIAL_FAILURES and failed == meter.objects:
                    break
                continue
            manifest.add_outcome(outcome, prefix.bucket)
            if outcome.error is not None:
                failed += 1
                first += [outcome] if len(first) < _NAMED_FAILURES else []
            elif outcome.status == "skipped":
                skipped += 1
            else:
                done, size = done + 1, size + outcome.size
            meter.add_object(outcome)
            if failed >= _MAX_INITIAL_FAILURES and failed == meter.objects:
                break
    context.cancel.stop_if_set()
    warning = _build_failure(first, failed, meter.objects, manifest.path) if first else None
    if warning is not None and failed > step.may_fail(
        max(meter.objects, gathered.total if gathered else 0)
    ):
        raise warning
    failure = Failure(warning.type, warning.message, warning.hint) if warning is not None else None
    return TransferSummary(manifest.objects(prefix), done, size, skipped, failed, failure)


def _open_progress(
    context: StepContext, step: TransferFields, gathered: Optional[SourceObjects]
) -> ByteProgress:
    """Returns the progress with the totals of the source; bytes count where they move."""
    if gathered is None:
        return ByteProgress(context)
    moves_bytes = getattr(step, "counts_transfers", True)
    return ByteProgress(context, gathered.total, gathered.objects.bytes if moves_bytes else 0)


@contextmanager
def _closing_operation(outcomes: Iterable[object]) -> Iterator[None]:
    """Closes the operation at the end of the block, so that its requests stop in this thread."""
    try:
        yield
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


def _name_reason(uri: str, error: StepError) -> str:
    is_named = error.message.startswith(f"{uri}: ")
    return error.message if is_named else f"{uri}: {error.message}"


def _build_failure(some: Iterable[Outcome], failed: int, total: int, manifest: Any) -> StepError:
    """Returns the error of a step, in the order of keys: equal runs have equal messages."""
    first = sorted(some, key=lambda each: str(each.uri))
    error = first[0].error
    assert error is not None  # noqa: S101 - they are failed ones
    if total == 1:
        return error
    reasons = "; ".join(_name_reason(str(each.uri), each.error) for each in first if each.error)
    more = f"; and {failed - len(first):,} more" if failed > len(first) else ""
    given_up = (
        ", and none succeeded, so no more were tried"
        if failed >= _MAX_INITIAL_FAILURES and failed == total
        else ""
    )
    hint = "\n".join(
        each for each in (error.hint, f"{manifest} has a line for each object") if each
    )
    return StepError(
        f"{failed:,} of {total:,} objects failed{given_up}: {reasons}{more}",
        hint=hint,
        type=error.type,
    )
