"""Types of fields: plain Python types that may also be ``${{ ... }}`` in a spec.

To a type checker ``Text``, ``Integer`` and the others are ``str``, ``int`` and so on. While a spec
is validated, templates are accepted if the context allows them. When a step starts, its fields are
evaluated and validated again without templates, so an action sees plain, typed values only.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import SecretValue, register_secret
from rolerunner.spec.expressions import Template
from rolerunner.spec.values import HintedError, check_duration, parse_duration, parse_size
from rolerunner.spec.without_plugins import plugins_disabled

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATES_ALLOWED = {"templates": True}
"""The validation context that allows templates."""
FOLDER = "folder"
"""In the validation context: the spec's folder; None if it is not on this machine."""

PACKAGES = "packages"
"""In the validation context: folders of bundled packages, relative to the spec's folder."""
PACKAGES_PRESENT = "all here"
"""In the validation context: False if bundled packages may be missing on this machine."""
PARTIAL_VALUES = "stands in"
"""In the validation context: ``*`` stands for unknown parts of texts, so content is not checked."""


class StrictModel(BaseModel):
    """The base of all models of the spec: frozen, without coercion; unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, defer_build=True
    )

    @classmethod
    def model_rebuild(cls, **options: Any) -> Any:
        """Builds the model, which pydantic calls when it is first used."""
        with plugins_disabled():
            return super().model_rebuild(**options)

    @field_validator("*", mode="wrap")
    @classmethod
    def _admit_template(
        cls, value: Any, inner: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        """Accepts an expression for a field of any type while a spec is validated."""
        return value if _is_allowed_template(value, info) else inner(value)


def _is_allowed_template(value: Any, info: ValidationInfo) -> bool:
    return isinstance(value, Template) and bool(info.context and info.context.get("templates"))


class _Dynamic:
    """Marks a type whose value may be a Template while a spec is validated."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def admit(value: Any, inner: Callable[[Any], Any], info: core_schema.ValidationInfo) -> Any:
            return value if _is_allowed_template(value, info) else inner(value)

        return core_schema.with_info_wrap_validator_function(admit, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        inner = handler(schema)
        if inner.get("type") == "string" and not {"pattern", "enum", "const", "maxLength"} & set(
            inner
        ):
            return inner  # any text may hold an expression as it is
        return {"anyOf": [inner, {"type": "string", "pattern": r"\$\{\{"}]}


DYNAMIC = _Dynamic()


@dataclass(frozen=True)
class NamesRole:
    """Marks a field that may be a mapping whose key ``role`` names another role of the step."""


NAMES_ROLE = NamesRole()


class OwnSchema:
    """Marks a field whose JSON Schema a subclass writes; its type validates it as always."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return handler(source)


@dataclass(frozen=True, eq=False)
class JsonForm(OwnSchema):
    """The JSON Schema of a type that is parsed from text."""

    schema: tuple[tuple[str, Any], ...]

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


@dataclass(frozen=True)
class ShortForm(OwnSchema):
    """Marks a mapping that may be written as text: one of ``choices``, or any text."""

    choices: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        short = {"enum": list(self.choices)} if self.choices else {"type": "string"}
        return {"anyOf": [short, handler(schema)]}


def json_form(**schema: Any) -> JsonForm:
    """Returns a marker with the JSON Schema of a type."""
    return JsonForm(tuple(schema.items()))


def _s3_uri(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return check_key(S3Uri.parse(value))
    except ValueError as error:
        from rolerunner.spec.foreign_addresses import suggest_s3_uri  # noqa: PLC0415 - a right spec has no use for it

        raise HintedError(str(error), suggest_s3_uri(value)) from None


def check_key(uri: S3Uri) -> S3Uri:
    """Returns a URI unchanged. Raises ValueError for a key that is too long for S3."""
    if len(uri.key) * 4 <= MAX_KEY:  # UTF-8 has up to four bytes per character
        return uri
    length = len(uri.key.encode("utf-8", "surrogatepass"))
    if length > MAX_KEY:
        raise ValueError(f"has a key of {length:,} bytes, {MAX_KEY:,} at most: {str(uri)[:60]}...")
    return uri


def _s3_object(value: Any) -> Any:
    uri = _s3_uri(value)
    if isinstance(uri, S3Uri) and uri.is_prefix:
        raise ValueError(f"must name one object, not the prefix '{uri}'")
    return uri


def _parse_duration(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return (
        check_duration(value)
        if isinstance(value, (int, float))
        else parse_duration(value)
        if isinstance(value, str)
        else value
    )


def _parse_size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def _parse_rate(value: Any) -> Any:
    return parse_size(value.removesuffix("/s")) if isinstance(value, str) else value


def _parse_account(value: Any) -> Any:
    if isinstance(value, int):
        raise ValueError(f'is text; write "{value:012d}" in quotes')  # noqa: TRY004 - pydantic takes ValueError
    if isinstance(value, str) and not re.fullmatch(r"\d{12}", value):
        raise ValueError(f"must be an account id of twelve digits, not '{value}'")
    return value


def customer_key_bytes(text: str) -> bytes:
    """Decodes a customer key from base64. Raises ValueError."""
    return base64.b64decode(text, validate=True)


def _customer_key(value: Any) -> Any:
    if isinstance(value, str):
        try:
            good = len(customer_key_bytes(value)) == CUSTOMER_KEY_BYTES
        except ValueError:
            good = False
        if not good:
            raise ValueError(
                f"must be {CUSTOMER_KEY_BYTES} bytes in base64"
            )  # the message does not show the secret
    return value


def _as_secret(text: str) -> SecretValue:
    """Returns a customer key as a secret, with its MD5: servers repeat both in errors."""
    key = register_secret(text)
    key.digest = register_secret(
        base64.b64encode(
            hashlib.md5(customer_key_bytes(text), usedforsecurity=False).digest()
        ).decode()
    )
    return key


def _validate_limit(value: Any) -> Any:
    if isinstance(value, str):
        number = value[:-1].strip() if value.endswith("%") else ""
        if not number.isdigit() or int(number) > 100:  # noqa: PLR2004 - percent
            raise ValueError(f"must be a number or a percentage such as 5%, not '{value}'")
    elif isinstance(value, int) and value < 0:
        raise ValueError(f"must be at least 0, not {value}")
    return value


def check_path(value: Any) -> Any:
    """Returns a local path unchanged. Raises ValueError if it is not a path."""
    if isinstance(value, str) and (not value or "\0" in value):
        raise ValueError("must be a path on this machine")
    if isinstance(value, str) and re.match(r"[a-z][a-z0-9+.-]+://", value):
        raise ValueError(f"must be a path on this machine, not '{value}'")
    if isinstance(value, str) and re.match(r"\$[A-Za-z_]|%[A-Za-z_]+%", value):
        message = f"must be a path on this machine, not '{value}': nothing replaces the variable"
        raise HintedError(message, "write '~/' for the home folder, or declare a param")
    if os.name != "nt" and isinstance(value, str) and re.match(r"[A-Za-z]:[\\/]", value):
        raise ValueError(f"must be a path on this machine, not the path of Windows '{value}'")
    return value


MAX_KEY = 1024
"""Maximum number of bytes of a key (S3 user guide)."""
CUSTOMER_KEY_BYTES = 32
"""Bytes of an SSE-C key, which is for AES-256 (S3 user guide)."""
_S3_FORM = {"type": "string", "pattern": r"^s3://|\$\{\{"}


def _check_name(value: str) -> str:
    if not value.strip():
        raise ValueError("must be a name, and is empty")
    return value


Text = Annotated[str, DYNAMIC]
Name = Annotated[str, AfterValidator(_check_name), DYNAMIC]
"""The name of something in a service, which cannot be empty."""
Integer = Annotated[int, DYNAMIC]
Flag = Annotated[bool, DYNAMIC]
LocalPath = Annotated[str, BeforeValidator(check_path), json_form(type="string"), DYNAMIC]
"""A local path; ``~`` is the home folder, and relative paths start at the working directory."""
S3Location = Annotated[
    S3Uri,
    BeforeValidator(_s3_uri),
    json_form(**_S3_FORM, description="s3://bucket/key-or-prefix"),
    DYNAMIC,
]
"""An object or a prefix."""
S3Object = Annotated[
    S3Uri,
    BeforeValidator(_s3_object),
    json_form(**_S3_FORM, description="s3://bucket/key"),
    DYNAMIC,
]
"""One object."""
Seconds = Annotated[
    float,
    BeforeValidator(_parse_duration),
    json_form(type=["string", "number"], examples=["30s", "15m", "2h"]),
    DYNAMIC,
]
"""A duration in seconds, written as 30s, 15m, 2h."""
Bytes = Annotated[
    int,
    BeforeValidator(_parse_size),
    json_form(type=["string", "integer"], examples=["16MiB", "5GB"]),
    DYNAMIC,
]
"""A size in bytes, written as 16MiB, 5GB."""
Account = Annotated[str, BeforeValidator(_parse_account), DYNAMIC]
"""An account id in quotes; YAML would read a number and drop leading zeros."""
Rate = Annotated[
    int,
    BeforeValidator(_parse_rate),
    json_form(type=["string", "integer"], examples=["50MB/s"]),
    DYNAMIC,
]
"""Bytes per second, written as 50MB/s."""
Allowed = Annotated[
    Union[int, str],
    BeforeValidator(_validate_limit),
    json_form(type=["integer", "string"]),
    DYNAMIC,
]
"""A number, or a percentage of all."""
CustomerKey = Annotated[
    str,
    BeforeValidator(_customer_key),
    AfterValidator(_as_secret),
    json_form(type="string"),
    DYNAMIC,
]
"""A customer-provided key (SSE-C) in base64."""
