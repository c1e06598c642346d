"""Fields of steps that read objects as they were: ``version`` and ``as_of``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timezone
from typing import Annotated, Any, Optional

from pydantic import BeforeValidator, Field

from rolerunner.iam.actions_table import VERSIONED_ACTIONS
from rolerunner.model import S3Uri
from rolerunner.selection.names import format_timestamp
from rolerunner.selection.past_versions import select_past_objects
from rolerunner.spec.field_types import DYNAMIC, StrictModel, Text, json_form
from rolerunner.storage.protocol import ObjectInfo

_WANTED = "must be a moment such as 2026-01-31T00:00:00Z, or a date"


def _parse_moment(value: Any) -> Any:
    """Returns a moment in the format of S3's listings; a date is its beginning in UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            raise ValueError(f"{_WANTED}, not '{value[:40]}'") from None
        if value.tzinfo is None and (value.hour or value.minute or value.second):
            raise ValueError(f"{_WANTED}; add its time zone, such as Z")
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
    if not isinstance(value, datetime):
        return value
    aware = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
    return format_timestamp(aware.astimezone(timezone.utc))


Moment = Annotated[str, BeforeValidator(_parse_moment), json_form(type="string"), DYNAMIC]


class AsOfFields(StrictModel):
    """The field that reads a prefix as it was at a moment."""

    as_of: Optional[Moment] = Field(
        None,
        description=(
            "Take the objects as they were at this moment, in a bucket that keeps versions."
        ),
        examples=["2026-01-31T00:00:00Z"],
    )

    def past_action(self, action: str) -> str:
        """Returns the action that reading an object as it was needs."""
        return VERSIONED_ACTIONS.get(action, action) if self.reads_versions() else action

    def list_action(self) -> str:
        """Returns the action that listing the source needs."""
        return "s3:ListBucket" if self.as_of is None else "s3:ListBucketVersions"

    def reads_versions(self) -> bool:
        """Returns True if the step names versions of its objects."""
        return self.as_of is not None or getattr(self, "version", None) is not None

    def select_past(self, versions: Iterable[ObjectInfo], prefix: S3Uri) -> Iterator[ObjectInfo]:
        """Yields what was there at the moment; all of them without one. Raises StepError."""
        return (
            iter(versions)
            if self.as_of is None
            else select_past_objects(versions, self.as_of, prefix)
        )


class PastFields(AsOfFields):
    """The fields that read one version of an object, or a prefix as it was."""

    version: Optional[Text] = Field(
        None,
        description="The version of the single object that source names.",
        examples=["3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"],
    )


def check_past_fields(step: Any, *, move: bool = False) -> None:
    """Raises ValueError for fields that do not go with ``version`` or ``as_of``."""
    version, as_of = getattr(step, "version", None), getattr(step, "as_of", None)
    if version is not None and (step.source is None or getattr(step.source, "is_prefix", False)):
        raise ValueError("'version' requires a 'source' that is one object")
    if as_of is not None and step.source is None:
        raise ValueError("'as_of' requires a 'source'; listed objects contain their versions")
    if version is not None and as_of is not None:
        raise ValueError("'version' and 'as_of' exclude each other")
    if move and (version is not None or as_of is not None):
        name = "version" if version is not None else "as_of"
        raise ValueError(f"'move' cannot delete what '{name}' names, which is not the object now")
