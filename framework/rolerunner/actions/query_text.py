"""The field ``query``: SQL in the spec, or a file with SQL; and values as literals of SQL."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, Optional, Union

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.common.file_paths import expand_path
from rolerunner.common.files import read_file
from rolerunner.errors import StepError
from rolerunner.model import Permission, S3Uri
from rolerunner.spec.field_types import (
    DYNAMIC,
    NAMES_ROLE,
    PARTIAL_VALUES,
    StrictModel,
    check_key,
    check_path,
    json_form,
)
from rolerunner.spec.step_fields import RoleName

if TYPE_CHECKING:
    from rolerunner.actions.base import StepContext

MAX_QUERY_BYTES = 262_144
"""Maximum bytes of a query (Athena's service quotas)."""
_LINE = re.compile(r"\bline (\d+):(\d+)\b")


def _validate_place(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    if not value.startswith("s3://"):
        return check_path(value)
    uri = S3Uri.parse(value) if _is_partial(info) else check_key(S3Uri.parse(value))
    if uri.is_prefix:
        raise ValueError(f"must name one file, not the prefix '{uri}'")
    return uri


def _is_partial(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get(PARTIAL_VALUES))


class QueryFile(StrictModel):
    """A file with a query."""

    place: Annotated[
        Union[S3Uri, str], BeforeValidator(_validate_place), json_form(type="string"), DYNAMIC
    ] = Field(
        alias="from",
        description="The file: an s3:// URI or a path on this machine. It is taken as it is.",
        examples=["s3://ops/orders.sql"],
    )
    role: Optional[RoleName] = Field(
        None, description="The role that reads the file; by default the step's.", examples=["ops"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> QueryFile:
        if isinstance(self.place, str) and self.role is not None:
            raise ValueError("'role' is for a file in S3; a local file is read without one")
        return self

    def permissions(self) -> list[Permission]:
        """Returns the permissions to read the file, and to see that it is missing."""
        place = self.place
        if not isinstance(place, S3Uri):
            return []
        return [list_permission(place), object_permission("s3:GetObject", place)]

    def read(self, context: StepContext) -> str:
        """Returns the text of the file. Raises StepError."""
        if isinstance(self.place, S3Uri):
            data = context.storage("query.role").read(self.place, MAX_QUERY_BYTES)
        else:
            data = read_file(expand_path(self.place), MAX_QUERY_BYTES + 1)
        try:
            return check_query(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise StepError(
                f"{self.place}: not UTF-8 text (at byte {error.start})",
                hint="'query' names a file with SQL",
                type="NotText",
            ) from None
        except ValueError as error:
            raise StepError(f"{self.place} {error}", type="BadQuery") from None


def check_query(text: str) -> str:
    """Returns a query unchanged. Raises ValueError for one that Athena cannot take."""
    if not text.strip():
        raise ValueError("must be SQL, and is empty")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_QUERY_BYTES:
        raise ValueError(f"has {size:,} bytes; a query may have {MAX_QUERY_BYTES:,}")
    return text


def _validate_query(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, dict):
        return QueryFile.model_validate(value, context=info.context)
    return check_query(value) if isinstance(value, str) and not _is_partial(info) else value


QueryField = Annotated[
    Union[str, QueryFile],
    BeforeValidator(_validate_query),
    DYNAMIC,
    NAMES_ROLE,
]
"""SQL, or a file with SQL."""


def find_place(query: Union[str, QueryFile], reason: str) -> str:
    """Returns the place of a mistake that a message tells, as ``FILE:LINE:COLUMN``."""
    found = _LINE.search(reason)
    line = f":{found[1]}:{found[2]}" if found else ""
    return f"{query.place}{line}" if isinstance(query, QueryFile) else f"'query'{line}"


Literal = Union[str, int, float, bool, date, datetime, None]


def render_literal(value: Literal) -> str:
    """Returns a value as a literal of SQL, so that text cannot become a part of the query."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        utc = value if value.tzinfo is None else value.astimezone(timezone.utc)
        return f"TIMESTAMP '{utc.replace(tzinfo=None).isoformat(' ', 'milliseconds')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + value.replace("'", "''") + "'"
