"""Defines the action ``s3.restore``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import model_validator

from rolerunner.actions.archives import (
    TIERED,
    iterate_unreadable,
    locate,
    may_be_archived,
)
from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source, iter_polls
from rolerunner.actions.blocks import drop_versions, leave_out_markers, send_each
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.placement import choose_distribution
from rolerunner.actions.polling_fields import interval_field, max_wait_field
from rolerunner.actions.shared_fields import DistributionFields, SourceFields, TransferFields
from rolerunner.actions.source_objects import SourceObjects, check_one_source, collect_source
from rolerunner.common.cancellation import Cancel
from rolerunner.common.wording import format_count
from rolerunner.errors import StepError
from rolerunner.events import StepProgress
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, placeholder_list
from rolerunner.spec.field_types import DYNAMIC, Flag, Seconds
from rolerunner.storage.object_lines import MakeItems
from rolerunner.storage.protocol import ObjectInfo, Outcome, RequestSender, Storage
from rolerunner.storage.workers.placement import BOTO_REQUEST, Work

_UNDER_WAY = frozenset({"RestoreAlreadyInProgress", "ObjectAlreadyInActiveTierError"})
"""Error codes of a restore that another request began, and of an object that needs none."""


@dataclass(frozen=True)
class RestoreRequest:
    """Asks S3 to make an archived object readable for some days."""

    tier: str
    days: int

    def send(
        self, requests: RequestSender, uri: S3Uri, info: ObjectInfo, cancel: Cancel
    ) -> Outcome:
        """Sends RestoreObject; an object whose restore is under way is skipped."""
        done = Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)
        if not may_be_archived(info):
            return replace(done, status="skipped")
        # an object of INTELLIGENT_TIERING moves to another tier, for no number of days
        days = {} if info.storage_class == TIERED else {"Days": self.days}
        wanted = {**days, "GlacierJobParameters": {"Tier": self.tier}}
        response = requests.call_unless(
            _UNDER_WAY, "restore_object", cancel, **locate(uri, info), RestoreRequest=wanted
        )
        return done if response is not None else replace(done, status="skipped")


class S3Restore(FilterFields, TransferFields, DistributionFields, SourceFields, Action):
    """Make archived objects readable: those in GLACIER, DEEP_ARCHIVE and archive access tiers.

    Each object costs one request, all others are skipped by what their listing says. A restore
    takes minutes (Expedited), 3 to 12 hours (Standard) or up to 48 (Bulk), for which AWS Glue bills
    a job that waits: rather let a later job wait, by ``s3.wait`` with ``restored: true``. With
    ``wait: true`` the step itself waits. A repeated step asks for no second restore; it extends the
    days of what is restored already.
    """

    kind: ClassVar[str] = "s3.restore"
    object_verb: ClassVar[str] = "restore"
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://archive/orders/2020/",
        "tier": "Bulk",
        "days": 3,
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects, including those that need no restore",
        "count": "how many restores were requested or extended",
        "bytes": "how many bytes those have",
        "skipped": "how many are not archived, or have a restore under way",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST,
        "count": 1,
        "bytes": 1,
        "skipped": 1,
    }

    tier: Annotated[Literal["Standard", "Bulk", "Expedited"], DYNAMIC] = Field(
        "Standard",
        description="How fast, and at which price: Expedited, Standard or Bulk.",
        examples=["Bulk"],
    )
    days: Annotated[int, Field(ge=1), DYNAMIC] = Field(
        7, description="How many days the objects stay readable.", examples=[3]
    )
    wait: Flag = Field(False, description="Wait until all objects are readable.", examples=[True])
    interval: Seconds = interval_field(
        900.0, "two looks at what is not readable yet", example="30m"
    )
    max_wait: Seconds = max_wait_field(48 * 3600.0, example="12h")

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Restore":
        check_one_source(self.source, self.objects, self.kind)
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists the objects, requests their restores, and waits if it should."""
        pacer = self.flow()
        storage = context.storage(access=self.access(), flow=pacer, distribute=self.distribute)
        found = self._collect_source(storage, context)
        if found.total == 0:
            handle_empty_source(self.on_empty, self.source_name, context)
            return {"objects": found.objects, "count": 0, "bytes": 0, "skipped": 0}
        chosen = choose_distribution(self.distribute, Work(BOTO_REQUEST, found.total), context)
        if chosen is not None:
            storage = context.storage(access=self.access(), flow=pacer, distribute=chosen)
        prefix = found.objects.prefix
        request = RestoreRequest(self.tier, self.days)
        requested = send_each(storage, found.objects, self._make_items(), request, context)
        outcomes = chain(found.refused, requested)
        done = record_outcomes(outcomes, context, prefix, self, pacer, found)
        if self.wait and not done.failed:
            self._wait_for(found.objects, storage, context)
        return done.outputs(objects=done.objects, skipped=done.skipped)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing, and RestoreObject; GetObject as well to wait, and for objects by name."""
        by_name = self._by_name()
        named: list[S3Uri] = (
            [self.source]
            if self.source is not None
            else [each for each in self.objects or () if isinstance(each, S3Uri)]
        )
        needed = [list_permission(self.source)] if self.source is not None else []
        used = ["s3:RestoreObject", *(["s3:GetObject"] if self.wait or by_name else [])]
        for action in used:
            needed += (
                [object_permission(action, uri) for uri in named]
                if by_name
                else source_permissions(action, self.source, self.objects)
            )
        return {"role": needed}

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes of all objects, and of those that may be archived."""
        found = self._collect_source(context.storage(access=self.access()), context)
        archived = size = 0
        for info in found.objects:
            if may_be_archived(info):
                archived, size = archived + 1, size + info.size
        return {**found.summary(), "archived": archived, "archived_bytes": size}

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the list of objects under the prefix."""
        return {"objects": placeholder_list(self.source)} if self.source is not None else {}

    def _by_name(self) -> bool:
        """Returns True for an object or a list of URIs, whose present version is restored."""
        return not isinstance(self.objects, ObjectList) and not (
            self.source is not None and self.source.is_prefix
        )

    def _make_items(self) -> MakeItems:
        return drop_versions if self._by_name() else leave_out_markers

    def _wait_for(self, objects: ObjectList, storage: Storage, context: StepContext) -> None:
        """Waits until all objects are readable. Raises StepError once that takes too long."""
        left: Any = self._make_items()(objects)
        count = objects.count
        for number in iter_polls(context, self.interval, self.max_wait):
            with context.manifest(f".waiting{number % 2}") as manifest:
                for info in iterate_unreadable(left, objects, storage, context.cancel):
                    manifest.add_object(info)
            left, waiting = manifest.objects(objects.prefix), manifest.count
            if not waiting:
                return
            count = waiting
            context.progress(
                StepProgress(context.step_id, objects.count - waiting, 0, objects.count)
            )
        raise StepError(
            f"{format_count(count, 'object')} of {objects.count:,} not restored after"
            f" {self.max_wait:g} s",
            hint="raise 'max_wait'; a later job may wait by s3.wait with 'restored: true'",
            type="WaitTimeout",
        )

    def _collect_source(self, storage: Storage, context: StepContext) -> SourceObjects:
        return collect_source(self.source, self.objects, self.selection(), storage, context)
