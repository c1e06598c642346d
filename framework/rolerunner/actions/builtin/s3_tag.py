"""Defines the action ``s3.tag``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar, Optional

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.blocks import drop_versions, leave_out_markers, send_each
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.object_values import MAX_TAGS, Tags
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.placement import choose_distribution
from rolerunner.actions.shared_fields import DistributionFields, SourceFields, TransferFields
from rolerunner.actions.source_objects import SourceObjects, check_one_source, collect_source
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.iam.actions_table import VERSIONED_ACTIONS
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList
from rolerunner.spec.field_types import Flag, Text
from rolerunner.storage.protocol import ObjectInfo, Outcome, RequestSender, Storage
from rolerunner.storage.workers.placement import BOTO_REQUEST, Work

_NO_TAGS = frozenset({"NoSuchTagSet", "NoSuchTagSetError"})
"""Error codes of some servers for an object without tags."""


@dataclass(frozen=True)
class TagRequest:
    """Replaces the tags of an object, or changes some and keeps the others."""

    replaced: Optional[Mapping[str, str]]
    added: Mapping[str, str]
    removed: Sequence[str]

    def send(
        self, requests: RequestSender, uri: S3Uri, info: ObjectInfo, cancel: Cancel
    ) -> Outcome:
        """Writes the tags, unless the object has them already. Raises StepError."""
        version = {"VersionId": info.version} if info.version else {}
        place: dict[str, Any] = {"Bucket": uri.bucket, "Key": uri.key, **version}
        done = Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)
        if self.replaced is not None:
            wanted = dict(self.replaced)
        else:
            found = _read_tags(requests, place, cancel)
            wanted = self._change(found, uri)
            if wanted == found:
                return replace(done, status="skipped")
        tags = [{"Key": key, "Value": value} for key, value in wanted.items()]
        requests.call("put_object_tagging", cancel, **place, Tagging={"TagSet": tags})
        return done

    def _change(self, found: Mapping[str, str], uri: S3Uri) -> dict[str, str]:
        kept = {key: value for key, value in found.items() if key not in self.removed}
        wanted = {**kept, **self.added}
        if len(wanted) > MAX_TAGS:
            raise StepError(
                f"{uri}: would have {len(wanted)} tags, and S3 keeps {MAX_TAGS} of an object",
                hint="'remove' some of its tags in the same step, or replace all by 'set'",
                type="TooManyTags",
            )
        return wanted


def _read_tags(requests: RequestSender, place: Mapping[str, Any], cancel: Cancel) -> dict[str, str]:
    response = requests.call_unless(_NO_TAGS, "get_object_tagging", cancel, **place) or {}
    return {tag["Key"]: tag["Value"] for tag in response.get("TagSet", ())}


class S3Tag(FilterFields, TransferFields, DistributionFields, SourceFields, Action):
    """Set, add or remove the tags of an object, of a prefix, or of listed objects.

    ``set`` replaces all tags. ``add`` and ``remove`` read the tags of each object and write them
    only if they differ; S3 cannot make the two one request, so another writer of tags must not run
    meanwhile. An object keeps at most 10 tags.
    """

    kind: ClassVar[str] = "s3.tag"
    object_verb: ClassVar[str] = "tag"
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/",
        "add": {"state": "read"},
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects, including those that had the tags already",
        "count": "how many objects got other tags",
        "bytes": "how many bytes those have",
        "skipped": "how many had the tags already",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST,
        "count": 1,
        "bytes": 1,
        "skipped": 1,
    }

    set: Optional[Tags] = Field(
        None,
        description="The tags that replace all others; an empty mapping removes all.",
        examples=[{"state": "read"}],
    )
    add: Tags = Field(
        default_factory=dict,
        description="Tags to add; the others are kept.",
        examples=[{"state": "read"}],
    )
    remove: list[Text] = Field(
        default_factory=list,
        description="Keys of tags to remove; the others are kept.",
        examples=[["state"]],
    )
    versions: Flag = Field(
        False, description="Tag every version of the objects under 'source'.", examples=[True]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Tag":
        check_one_source(self.source, self.objects, self.kind)
        changes = bool(self.add or self.remove)
        if (self.set is not None) == changes:
            raise ValueError("'s3.tag' takes either 'set', or 'add' and 'remove'")
        both = [key for key in self.remove if isinstance(key, str) and key in self.add]
        if both:
            raise ValueError(f"'{both[0]}' is both in 'add' and in 'remove'")
        if self.versions is True and self.source is None:
            raise ValueError(
                "'versions' applies to 'source' only; listed objects contain their versions"
            )
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists the objects, then tags them, many at once."""
        pacer = self.flow()
        storage = context.storage(access=self.access(), flow=pacer, distribute=self.distribute)
        gathered = self._collect_source(storage, context)
        if gathered.total == 0:
            handle_empty_source(self.on_empty, self.source_name, context)
            return {"objects": gathered.objects, "count": 0, "bytes": 0, "skipped": 0}
        chosen = choose_distribution(self.distribute, Work(BOTO_REQUEST, gathered.total), context)
        if chosen is not None:
            storage = context.storage(access=self.access(), flow=pacer, distribute=chosen)
        prefix = gathered.objects.prefix
        request = TagRequest(self.set, self.add, self.remove)
        # a delete marker has no tags
        make_items = drop_versions if self._by_name() else leave_out_markers
        tagged = send_each(storage, gathered.objects, make_items, request, context)
        outcomes = chain(gathered.refused, tagged)
        done = record_outcomes(outcomes, context, prefix, self, pacer, gathered)
        return done.outputs(objects=done.objects, skipped=done.skipped)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing, and PutObjectTagging; GetObjectTagging as well for 'add' and 'remove'."""
        versions = self.versions is True
        wanted = []
        if self.source is not None:
            wanted.append(
                list_permission(
                    self.source, "s3:ListBucketVersions" if versions else "s3:ListBucket"
                )
            )
        used = ["s3:PutObjectTagging"] if self.set is not None else list(_CHANGES)
        if not self._by_name():
            for action in used:
                name = VERSIONED_ACTIONS[action] if versions else action
                wanted += source_permissions(name, self.source, self.objects)
            return {"role": wanted}
        # HEAD comes first, so that only existing objects are counted
        named: list[S3Uri] = (
            [self.source]
            if self.source is not None
            else [each for each in self.objects or () if isinstance(each, S3Uri)]
        )
        for uri in named:
            wanted += [object_permission(action, uri) for action in ("s3:GetObject", *used)]
        return {"role": wanted}

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes of the objects."""
        return self._collect_source(context.storage(access=self.access()), context).summary()

    def _by_name(self) -> bool:
        """Returns True for an object or a list of URIs, whose present version is tagged."""
        return (
            not self.versions
            and not isinstance(self.objects, ObjectList)
            and not (self.source is not None and self.source.is_prefix)
        )

    def _collect_source(self, storage: Storage, context: StepContext) -> SourceObjects:
        return collect_source(
            self.source, self.objects, self.selection(), storage, context, versions=self.versions
        )


_CHANGES = ("s3:GetObjectTagging", "s3:PutObjectTagging")
