"""Runs and previews the steps of s3.copy: from the list of the source to the outputs."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.actions.base import handle_empty_source, note_removal
from rolerunner.actions.blocks import run_blocks
from rolerunner.actions.copy_items import CopyItems, CopyMirror
from rolerunner.actions.deletion_limits import DeletionLimits
from rolerunner.actions.extra_objects import delete_extra_objects
from rolerunner.actions.moves import delete_copied_sources
from rolerunner.actions.object_plans import (
    check_not_empty,
    plan_deletions,
    plan_transfers,
    report_left_out,
)
from rolerunner.actions.outcomes import ByteProgress, record_outcomes
from rolerunner.actions.placement import choose_distribution
from rolerunner.actions.source_objects import collect_source
from rolerunner.actions.targets import check_copies, claim_targets, refuse_one_bucket
from rolerunner.actions.unfinished_uploads import abort_leftover_uploads, open_upload_journal
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, placeholder_list
from rolerunner.storage.workers.placement import COPY, RELAY, Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolerunner.actions.backups import Backups
    from rolerunner.actions.base import StepContext
    from rolerunner.actions.builtin.s3_copy import S3Copy
    from rolerunner.actions.object_plans import Report
    from rolerunner.actions.outcomes import TransferSummary
    from rolerunner.actions.source_objects import OnLeftOut, SourceObjects
    from rolerunner.storage.object_lines import OutcomeBlock
    from rolerunner.storage.protocol import Copy, Outcome, Storage


class CopyRun:
    """One attempt of a step."""

    def __init__(
        self, action: S3Copy, context: StepContext, distribute: Optional[str] = None
    ) -> None:
        self._action = action
        self._context = context
        self._pacer = action.flow()
        self._source, self._target = self._open_storages(distribute)
        self._mirror = CopyMirror(action, context)
        one_role = context.roles["source_role"] == context.roles["target_role"]
        self._is_relayed = not one_role or action.compress is not None

    def run(self) -> Mapping[str, Any]:
        """Copies the objects, and returns the outputs. Raises StepError."""
        action, context = self._action, self._context
        gathered = self._collect_source()
        if gathered.total == 0:
            return self._handle_nothing()
        self._distribute(gathered)
        journal = open_upload_journal(context)
        copies = CopyItems(action, gathered, self._source, self._target, context, journal)
        self._check_targets(copies)
        extra = self._mirror.find_extra(copies, action.deletion_limits())
        backups = action.open_backups(context, "target_role", copies.place, self._pacer)
        if action.move and action.source is not None:
            note_removal(action.source_name, context)
        done = self._record(self._transfer(copies, backups), copies, gathered)
        abort_leftover_uploads(journal, self._target, context)
        deleted = (
            0
            if done.failed
            else delete_extra_objects(extra, self._target, context, backups=backups)
        )
        return done.outputs(objects=done.objects, skipped=done.skipped, deleted=deleted)

    def survey(self) -> Mapping[str, Any]:
        """Returns count and bytes, what could not be looked up, and how much is extra."""
        gathered = self._collect_source()
        if not self._action.delete_extra or gathered.total == 0:
            return gathered.summary()
        copies = CopyItems(self._action, gathered, self._source, self._target, self._context)
        extra = self._mirror.find_extra(copies, DeletionLimits(sys.maxsize))
        return {
            **gathered.summary(),
            "extra": extra.count,
            "max_delete": self._action.max_delete,
        }

    def plan_objects(self, report: Report) -> None:
        """Reports what would be copied, skipped, kept and deleted. Raises StepError."""
        action, context = self._action, self._context
        left_out = report_left_out(action.source, action.objects, report, self._mirror.add_left_out)
        gathered = self._collect_source(left_out)
        check_not_empty(gathered, action, context)
        copies = CopyItems(action, gathered, self._source, self._target, context)
        self._check_copies(copies)
        self._check_size(copies)
        extra = (
            self._mirror.find_extra(copies, action.deletion_limits())
            if gathered.total
            else EMPTY_LIST
        )
        backups = action.open_backups(context, "target_role", copies.place)
        then = "the source is deleted" if action.move else ""
        plan_transfers(copies, copies.if_exists, report, context, backups, then)
        plan_deletions(extra, "the source does not have it", report, backups)

    def _collect_source(self, on_left_out: Optional[OnLeftOut] = None) -> SourceObjects:
        action = self._action
        return collect_source(
            action.source,
            action.objects,
            action.selection(),
            self._source,
            self._context,
            version=action.version or "",
            as_of=action.as_of or "",
            on_left_out=on_left_out or (self._mirror.add_left_out if action.delete_extra else None),
        )

    def _handle_nothing(self) -> Mapping[str, Any]:
        """Returns the outputs of a step without objects. Raises StepError if that is an error."""
        action = self._action
        handle_empty_source(action.on_empty, action.source_name, self._context)
        nothing = {"count": 0, "bytes": 0, "skipped": 0, "deleted": 0}
        return {"objects": placeholder_list(action.place()), **nothing}

    def _distribute(self, gathered: SourceObjects) -> None:
        """Opens the storages of several machines, if there is enough work for them."""
        size = gathered.objects.bytes if self._is_relayed else 0
        work = Work(RELAY if self._is_relayed else COPY, gathered.total, size)
        chosen = choose_distribution(self._action.distribute, work, self._context)
        if chosen is not None:
            self._source, self._target = self._open_storages(chosen)

    def _check_targets(self, copies: CopyItems) -> None:
        """Raises StepError if a copy would overwrite another one or its own source."""
        action = self._action
        self._check_copies(copies)
        if action.move or action.renames:
            claim_targets(copies.objects, copies.targets, self._context)
        if action.move or action.delete_extra:
            option = "a move" if action.move else "'delete_extra'"
            refuse_one_bucket(copies.objects, copies.place, self._target, option)
        self._check_size(copies)

    def _check_copies(self, copies: CopyItems) -> None:
        action = self._action
        check_copies(
            copies.objects,
            copies.place,
            copies.targets,
            move=action.move,
            renames=action.renames,
            adds_suffix=action.compress is not None and action.compress_as == "suffix",
        )

    def _check_size(self, copies: CopyItems) -> None:
        self._action.check_transfer_size(
            lambda report: plan_transfers(copies, copies.if_exists, report, self._context)
        )

    def _transfer(
        self, copies: CopyItems, backups: Optional[Backups]
    ) -> Iterable[Union[Outcome, OutcomeBlock]]:
        """Returns the outcomes of the copies, which are made as they are consumed."""
        if backups is None and not self._action.move and copies.can_be_made_elsewhere:
            blocks = self._run_blocks(copies)
            if blocks is not None:
                return chain(copies.refused, blocks)
        copied = self._copy(copies) if backups is None else backups.transfer(copies, self._copy)
        if not self._action.move:
            return copied
        # the version that HEAD returns for an object named by its key must be kept
        by_version = isinstance(self._action.objects, ObjectList)
        return delete_copied_sources(
            copied, self._source, self._target, self._context, by_version=by_version
        )

    def _run_blocks(self, copies: CopyItems) -> Optional[Iterator[OutcomeBlock]]:
        """Returns the outcomes of worker processes; None if this process makes the copies."""
        return run_blocks(
            self._target,
            "relay" if self._is_relayed else "copy",
            copies.objects,
            copies.template,
            (self._source,) if self._is_relayed else (),
            copies.place.bucket,
            self._context,
        )

    def _copy(self, items: Iterable[Union[Copy, Outcome]]) -> Iterator[Outcome]:
        if self._is_relayed:
            return self._target.relay(items, self._source, self._context.cancel)
        return self._target.copy(items, self._context.cancel)

    def _record(
        self,
        ended: Iterable[Union[Outcome, OutcomeBlock]],
        copies: CopyItems,
        gathered: SourceObjects,
    ) -> TransferSummary:
        """Counts the outcomes, and reports progress. Raises StepError if too many failed."""
        # of compressed objects, the bytes that are sent are not known before
        size = 0 if self._action.compress is not None else gathered.objects.bytes
        progress = ByteProgress(self._context, gathered.total, size)
        return record_outcomes(
            ended,
            self._context,
            copies.place,
            self._action,
            self._pacer,
            gathered,
            progress=progress,
        )

    def _open_storages(self, distribute: Optional[str]) -> tuple[Storage, Storage]:
        """Returns the storages of the source's role and of the target's."""
        action = self._action
        key, owner = action.customer_key, action.expected_source_bucket_owner
        of_source = action.access(owner=owner, customer_key=key)
        of_target = replace(
            action.access(customer_key=action.stored_key),
            source_bucket_owner=owner or "",
            source_key=key or "",
        )
        open_storage = self._context.storage
        return (
            open_storage("source_role", of_source, self._pacer, distribute=distribute),
            open_storage("target_role", of_target, self._pacer, distribute=distribute),
        )
