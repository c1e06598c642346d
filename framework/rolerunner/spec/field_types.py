"""The types of the fields of actions: each is a plain Python type that, in a spec, may also be ``${{ ... }}``.

``Text``, ``Integer`` and the others are ``str``, ``int`` ... to a type checker. While a spec is being checked a
Template passes where the context says so; when a step starts, its fields are filled in and validated again, now
without templates. So an action only ever sees plain, typed values.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

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

from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import SecretValue, register_secret
from rolerunner.spec.expressions import Template
from rolerunner.spec.values import check_duration, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATES_ALLOWED = {"templates": True}
"""The validation context under which templates pass."""
FOLDER = "folder"
"""In the validation context: the folder of the spec that is being checked; None where that is not on this machine."""

PACKAGES = "packages"
"""In the validation context: folders of packages that the job takes along, relative to the spec's folder."""
PACKAGES_PRESENT = "all here"
"""In the validation context: False where the job takes along packages that may not be on this machine."""
PARTIAL_VALUES = "stands in"
"""In the validation context: texts may hold a ``*`` for what is known at run only, so their content is not checked."""


class StrictModel(BaseModel):
    """The base of every model of the spec: unknown keys are errors, values are frozen and not coerced."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, defer_build=True
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _admit_template(
        cls, value: Any, inner: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        """Whatever a field's type, an expression may stand for its value while a spec is checked."""
        return value if _passes(value, info) else inner(value)


def _passes(value: Any, info: ValidationInfo) -> bool:
    return isinstance(value, Template) and bool(info.context and info.context.get("templates"))


class _Dynamic:
    """Marks a type whose value may be a Template while the spec is checked."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def admit(value: Any, inner: Callable[[Any], Any], info: core_schema.ValidationInfo) -> Any:
            return value if _passes(value, info) else inner(value)

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


@dataclass(frozen=True, eq=False)
class JsonForm:
    """What a type that is read from text looks like in the JSON Schema, for an editor."""

    schema: tuple[tuple[str, Any], ...]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return handler(source)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


@dataclass(frozen=True)
class ShortForm:
    """Marks a mapping that may be written as a text; ``choices`` are the texts it may be, none for any."""

    choices: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return handler(source)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        short = {"enum": list(self.choices)} if self.choices else {"type": "string"}
        return {"anyOf": [short, handler(schema)]}


def json_form(**schema: Any) -> JsonForm:
    """A type's JSON Schema, as keywords."""
    return JsonForm(tuple(schema.items()))


def _s3_uri(value: Any) -> Any:
    return check_key(S3Uri.parse(value)) if isinstance(value, str) else value


def check_key(uri: S3Uri) -> S3Uri:
    """A place in S3 as it is. Raises ValueError for a key that S3 does not take."""
    if len(uri.key) * 4 <= MAX_KEY:  # UTF-8 has up to four bytes a character
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


def _duration(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return (
        check_duration(value)
        if isinstance(value, (int, float))
        else parse_duration(value)
        if isinstance(value, str)
        else value
    )


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def _rate(value: Any) -> Any:
    return parse_size(value.removesuffix("/s")) if isinstance(value, str) else value


def _account(value: Any) -> Any:
    if isinstance(value, int):
        raise ValueError(f'is text; write "{value:012d}" in quotes')  # noqa: TRY004 - pydantic takes ValueError
    if isinstance(value, str) and not re.fullmatch(r"\d{12}", value):
        raise ValueError(f"must be an account id of twelve digits, not '{value}'")
    return value


def customer_key_bytes(text: str) -> bytes:
    """A customer key from its base64. Raises ValueError."""
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
            )  # and is not shown: it is a secret
    return value


def _as_secret(text: str) -> SecretValue:
    """A customer key as a secret. Servers repeat it, or its MD5, in errors."""
    key = register_secret(text)
    key.digest = register_secret(
        base64.b64encode(
            hashlib.md5(customer_key_bytes(text), usedforsecurity=False).digest()
        ).decode()
    )
    return key


def check_path(value: Any) -> Any:
    """A path on this machine as it is. Raises ValueError for what is none."""
    if isinstance(value, str) and (not value or "\0" in value):
        raise ValueError("must be a path on this machine")
    if isinstance(value, str) and re.match(r"[a-z][a-z0-9+.-]+://", value):
        raise ValueError(f"must be a path on this machine, not '{value}'")
    return value


MAX_KEY = 1024
"""Bytes of a key (S3 user guide)."""
CUSTOMER_KEY_BYTES = 32
"""SSE-C takes AES-256 keys (S3 user guide)."""
_S3_FORM = {"type": "string", "pattern": r"^s3://|\$\{\{"}

Text = Annotated[str, DYNAMIC]
Integer = Annotated[int, DYNAMIC]
Flag = Annotated[bool, DYNAMIC]
LocalPath = Annotated[str, BeforeValidator(check_path), json_form(type="string"), DYNAMIC]
"""A path on this machine; ``~`` is the home folder, relative ones hang on the working directory."""
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
    BeforeValidator(_duration),
    json_form(type=["string", "number"], examples=["30s", "15m", "2h"]),
    DYNAMIC,
]
"""A duration in seconds, written as 30s, 15m, 2h."""
Bytes = Annotated[
    int,
    BeforeValidator(_size),
    json_form(type=["string", "integer"], examples=["16MiB", "5GB"]),
    DYNAMIC,
]
"""A size in bytes, written as 16MiB, 5GB."""
Account = Annotated[str, BeforeValidator(_account), DYNAMIC]
"""An account id, in quotes: YAML would read a number, and drop its leading zeros."""
Rate = Annotated[
    int, BeforeValidator(_rate), json_form(type=["string", "integer"], examples=["50MB/s"]), DYNAMIC
]
"""Bytes a second, written as 50MB/s."""
CustomerKey = Annotated[
    str,
    BeforeValidator(_customer_key),
    AfterValidator(_as_secret),
    json_form(type="string"),
    DYNAMIC,
]
"""A key of the customer's own (SSE-C), in base64."""
