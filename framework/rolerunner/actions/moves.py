"""Deletes the sources of a move, each only after its copy has been verified."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Optional

from rolerunner.actions.base import StepContext
from rolerunner.actions.blocks import count_staged
from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.storage.protocol import ObjectInfo, Outcome, Storage

_BATCH_SIZE = 1000


def delete_copied_sources(
    outcomes: Iterator[Outcome],
    source: Storage,
    target: Storage,
    context: StepContext,
    *,
    by_version: bool,
) -> Iterator[Outcome]:
    """Verifies each copy by size and ETag, then deletes its source if that has not changed.

    Objects that were skipped as the same are included: a run that was killed between copy and
    deletion leaves them.
    """
    rest = iter(outcomes)
    size = count_staged(target, context, _BATCH_SIZE)
    for batch in iter(lambda: list(islice(rest, size)), []):
        copied = {
            outcome.uri: outcome
            for outcome in batch
            if outcome.error is None and outcome.source is not None
        }
        yield from (outcome for outcome in batch if outcome.uri not in copied)
        proved = []
        for head in target.head_many(list(copied), context.cancel):
            outcome = copied[head.uri]
            problem = _find_copy_problem(outcome, head)
            if problem is not None:
                yield replace(outcome, status="failed", error=problem)
            else:
                proved.append(outcome)
        yield from _delete_sources(proved, source, context, by_version=by_version)


def _find_copy_problem(copied: Outcome, head: Outcome) -> Optional[StepError]:
    if head.error is not None:
        return StepError(
            f"copied, but the copy cannot be verified, so the source is kept: {head.error.message}",
            hint=head.error.hint,
            type=head.error.type,
        )
    if (
        head.info is None
        or head.info.size != copied.size
        or (copied.etag and head.info.etag != copied.etag)
    ):
        return IntegrityFailed(
            f"{copied.uri}: is not the copy that was made, so the source is kept"
        )
    return None


def _delete_sources(
    proved: Sequence[Outcome], source: Storage, context: StepContext, *, by_version: bool
) -> Iterator[Outcome]:
    """Deletes the sources of verified copies, each only if it has not changed."""
    doomed = {
        (each.source, info.version): (each, info)
        for each in proved
        for info in [_copied_source(each, by_version=by_version)]
    }
    for deleted in source.delete(
        (info for _, info in doomed.values()), "", context.cancel, unchanged=True
    ):
        outcome, _ = doomed[deleted.uri, deleted.version]
        error = deleted.error
        if error is None:
            yield outcome
        else:
            text = f"copied to {outcome.uri}, but the source could not be deleted: {error.message}"
            yield replace(
                outcome, status="failed", error=StepError(text, hint=error.hint, type=error.type)
            )


def _copied_source(copied: Outcome, *, by_version: bool) -> ObjectInfo:
    """Returns the source as it was copied; without an ETag, if unknown, it is not deleted."""
    assert copied.source is not None  # noqa: S101 - of a copy
    info = copied.source_info
    etag, version = (
        (info.etag, info.version if by_version else "") if info is not None else ("", "")
    )
    return ObjectInfo(
        copied.source.key, copied.size, etag, version=version, bucket=copied.source.bucket
    )
