"""The field ``objects`` as a mapping: a file that lists the objects."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.list_files.inventory_places import find_data_prefix
from rolerunner.selection.manifest import ObjectList, Origin, placeholder_list
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import (
    DYNAMIC,
    PARTIAL_VALUES,
    Flag,
    S3Location,
    StrictModel,
    Text,
    check_key,
    check_path,
    json_form,
)
from rolerunner.spec.step_fields import RoleName

Format = Literal["text", "csv", "jsonl", "parquet", "s3_inventory"]
_FORMATS: dict[str, Format] = {
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet",
}  # fmt: skip
_SUFFIX = re.compile(r"\.[a-z]+\Z")
_MANIFEST = "manifest.json"
_ANYWHERE = S3Uri("*")


def _validate_place(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    if info.context and info.context.get(PARTIAL_VALUES) and "*" in value:
        bucket, _, key = value.removeprefix("s3://").partition("/")
        return S3Uri(bucket, key) if value.startswith("s3://") else S3Uri("*", "*")
    if not value.startswith("s3://"):
        return check_path(value)
    uri = check_key(S3Uri.parse(value))
    if uri.is_prefix:
        raise ValueError(f"must name one file, not the prefix '{uri}'")
    return uri


class ObjectsFrom(StrictModel):
    """A file that lists objects."""

    place: Annotated[
        Union[S3Uri, str], BeforeValidator(_validate_place), json_form(type="string"), DYNAMIC
    ] = Field(
        alias="from",
        description="The list: an s3:// URI or a local file, compressed with gzip or not.",
        examples=["s3://ops/list.csv"],
    )
    role: Optional[RoleName] = Field(
        None,
        description="The role that reads the list; by default the step's.",
        examples=["ops"],
    )
    column: Optional[Text] = Field(
        None,
        description="The column (CSV, Parquet) or field (JSON lines) with the key or s3:// URI.",
        examples=["key"],
    )
    format: Optional[Annotated[Format, DYNAMIC]] = Field(
        None,
        description="text, csv, jsonl, parquet or s3_inventory; by default by the file's name.",
        examples=["csv"],
    )
    prefix: Optional[S3Location] = Field(
        None,
        description=(
            "Where the objects are: its bucket is that of plain keys, names at the target are "
            "relative to it, permissions are for it, and an object elsewhere is an error."
        ),
        examples=["s3://landing/orders/"],
    )
    versions: Flag = Field(
        False,
        description="Take every version and delete marker of an S3 Inventory.",
        examples=[True],
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> ObjectsFrom:
        if isinstance(self.place, str) and self.role is not None:
            raise ValueError("'role' is for a list in S3; a local file is read without one")
        known = self.find_format()
        if isinstance(self.column, str) and known in ("text", "s3_inventory"):
            raise ValueError(f"'column' is for CSV, JSON lines and Parquet, not for {known}")
        if self.versions is True and known not in (None, "s3_inventory"):
            raise ValueError("'versions' is for an S3 Inventory")
        return self

    def find_format(self) -> Optional[Format]:
        """Returns the format, by the file's name if none is set; None if that is not known yet."""
        if self.format is not None:
            return None if isinstance(self.format, Template) else self.format
        if isinstance(self.place, Template):
            return None
        path = self.place if isinstance(self.place, str) else self.place.key
        if path.endswith("*"):  # stands for a name that is not known
            return None
        name = path.rsplit("/", 1)[-1].lower().removesuffix(".gz")
        if name == _MANIFEST:
            return "s3_inventory"
        suffix = _SUFFIX.search(name)
        return _FORMATS.get(suffix.group(), "text") if suffix else "text"

    @property
    def origin(self) -> Optional[Origin]:
        """Returns the place of the objects; None if the field does not say."""
        return None if self.prefix is None else Origin(self.prefix)

    def predict(self) -> ObjectList:
        """Returns an empty list that stands for the objects before the run."""
        of_format = self.find_format()
        if of_format == "text" or self.column is not None:
            versions: Optional[bool] = False
        else:
            versions = self.versions if of_format == "s3_inventory" else None
        return ObjectList(
            placeholder_list(_ANYWHERE).path,
            self.prefix or _ANYWHERE,
            0,
            0,
            self.prefix is None,
            versions,
            origin=self.origin,
            is_bare=not versions,
        )

    def permissions(self) -> list[Permission]:
        """Returns the permissions of the list's role: to read it, and to see that it is missing."""
        if not isinstance(self.place, S3Uri):
            return []
        read = [list_permission(self.place), object_permission("s3:GetObject", self.place)]
        if self.find_format() in (None, "s3_inventory"):
            read.append(object_permission("s3:GetObject", find_data_prefix(self.place)))
        return read
