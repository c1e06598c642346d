"""The second half of a move: a source is deleted once its copy is proved."""

from __future__ import annotations

import stat
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.sftp.listing import RemoteFile, lstat_or_none, may_be
from rolerunner.sftp.removal import remove_unchanged
from rolerunner.storage.protocol import ObjectInfo, Outcome, Storage
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.sftp.sessions import SftpSessions

_PROVED_AT_ONCE = 1000


def delete_copied_objects(
    outcomes: Iterator[Outcome],
    paths: Mapping[S3Uri, str],
    sessions: SftpSessions,
    storage: Storage,
    pool: ThreadPool,
    cancel: Cancel,
) -> Iterator[Outcome]:
    """Deletes each object whose file is proved to be its copy, if it has not changed.

    ``paths`` are those of the files, which are looked up in the threads of ``pool``.
    """
    copied: list[Outcome] = []
    for outcome in outcomes:
        if outcome.error is None and outcome.source_info is not None:
            copied.append(outcome)
        else:
            yield outcome
    proved: dict[S3Uri, Outcome] = {}
    for checked in pool.map(lambda each: _prove_file(each, paths[each.uri], sessions), copied):
        if checked.error is not None:
            yield checked
        else:
            proved[checked.uri] = checked
    infos = (
        ObjectInfo(each.uri.key, each.size, each.etag, bucket=each.uri.bucket)
        for each in proved.values()
    )
    for deleted in storage.delete(infos, "", cancel, unchanged=True):
        outcome, error = proved[deleted.uri], deleted.error
        if error is not None:
            text = f"copied to {outcome.path}, but the object was kept: {error.message}"
            outcome = _fail(outcome, StepError(text, hint=error.hint, type=error.type))
        yield outcome


def _prove_file(copied: Outcome, path: str, sessions: SftpSessions) -> Outcome:
    """Returns the outcome, failed if the file on the server does not have the object's size."""
    try:
        there = sessions.run(lambda client: lstat_or_none(client, path), path, "look it up")
    except StepError as error:
        return _fail(copied, error)
    is_file = there is not None and may_be(there.st_mode, stat.S_IFREG)
    if there is None or not is_file or there.st_size != copied.size:
        text = f"{path}: is not the copy that was made, so {copied.uri} was kept"
        return _fail(copied, IntegrityFailed(text))
    return copied


def delete_copied_files(
    outcomes: Iterator[Outcome], sessions: SftpSessions, storage: Storage, cancel: Cancel
) -> Iterator[Outcome]:
    """Deletes each file whose object is proved to be its copy, if the file has not changed."""
    with ThreadPool(sessions.limit, thread_name_prefix="rolerunner-sftp-delete") as pool:
        for batch in iter(lambda: list(islice(outcomes, _PROVED_AT_ONCE)), []):
            copied = {
                each.uri: each
                for each in batch
                if each.error is None and each.source_info is not None
            }
            yield from (each for each in batch if each.uri not in copied)
            heads = list(storage.head_many(list(copied), cancel))
            outcomes_of_heads = [copied[head.uri] for head in heads]
            yield from pool.map(partial(_delete_file, sessions), outcomes_of_heads, heads)


def _delete_file(sessions: SftpSessions, copied: Outcome, head: Outcome) -> Outcome:
    problem = _find_copy_problem(copied, head)
    info = copied.source_info
    assert info is not None  # noqa: S101 - only these are deleted
    if problem is not None:
        return _fail(copied, problem)
    try:
        remove_unchanged(sessions, RemoteFile.from_info(info.key, info))
    except StepError as error:
        text = f"copied to {copied.uri}, but the source was kept: {error.message}"
        return _fail(copied, StepError(text, hint=error.hint, type=error.type))
    return copied


def _find_copy_problem(copied: Outcome, head: Outcome) -> Optional[StepError]:
    """Returns why the object is not proved to be the copy, or None."""
    if head.error is not None:
        return StepError(
            f"copied, but the object cannot be verified, so the source was kept:"
            f" {head.error.message}",
            hint=head.error.hint,
            type=head.error.type,
        )
    info = head.info
    if info is None or info.size != copied.size or (copied.etag and info.etag != copied.etag):
        return IntegrityFailed(
            f"{copied.uri}: is not the copy that was made, so the source was kept"
        )
    return None


def _fail(outcome: Outcome, error: StepError) -> Outcome:
    return replace(outcome, status="failed", error=error)
