"""Checks that S3 can store an object's metadata, tags, headers, storage class and KMS key.

The checks run while a spec is validated, and again when a step starts, on values that were not
known before.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from rolerunner.spec.field_types import DYNAMIC, PARTIAL_VALUES, json_form
from rolerunner.spec.values import check_tag_text

MAX_METADATA = 2048
"""Bytes of all names and values of an object's user metadata (S3 user guide)."""
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 10, 128, 256
"""Tags of one object, characters of a key and of a value (S3 user guide)."""
_PREFIX = "x-amz-meta-"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_KEY_ID = r"(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32})"
_ALIAS = r"alias/[A-Za-z0-9/_-]{1,250}"
_KMS_KEY = re.compile(
    rf"(?:{_KEY_ID}|{_ALIAS}|arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{{12}}:(?:key/{_KEY_ID}|{_ALIAS}))\Z"
)


def _stands_in(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get(PARTIAL_VALUES))


def _validate_header(value: Any, info: ValidationInfo) -> Any:
    """Returns the value of an HTTP header.

    Raises ValueError for text that would be refused, changed or truncated in transit.
    """
    if not isinstance(value, str) or _stands_in(info):
        return value
    wrong = _CONTROL.search(value)
    if wrong:
        what = (
            "a line break"
            if wrong.group() in "\r\n"
            else f"the control character U+{ord(wrong.group()):04X}"
        )
        raise ValueError(f"must not contain {what}: it is sent as an HTTP header")
    wrong = _NOT_ASCII.search(value)
    if wrong:
        raise ValueError(
            f"must contain ASCII characters only, not '{wrong.group()}'"
            f" (U+{ord(wrong.group()):04X}): it is sent as an HTTP header"
        )
    if value != value.strip():
        raise ValueError("must not begin or end with a space, which is lost in an HTTP header")
    return value


def _metadata_name(value: str) -> str:
    if not _TOKEN.match(value):
        raise ValueError(f"'{value}' is not a metadata name: use letters, digits, '-', '_' and '.'")
    if value.lower().startswith(_PREFIX):
        raise ValueError(f"'{value}': write the name without {_PREFIX}, which S3 adds")
    return value


def _whole_metadata(value: Mapping[str, Any]) -> Mapping[str, Any]:
    _check_case(value)
    texts = [text for pair in value.items() for text in pair if isinstance(text, str)]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if size > MAX_METADATA:
        raise ValueError(
            f"must have at most {MAX_METADATA:,} bytes in all names and values, not {size:,}"
        )
    return value


def _check_case(names: Mapping[str, Any]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(
                f"'{other}' and '{name}' are one name to S3, which stores names of metadata in"
                " lower case"
            )


def _tag_key(value: str) -> str:
    if not 1 <= len(value) <= MAX_TAG_KEY:
        raise ValueError(
            f"must have 1 to {MAX_TAG_KEY} characters as the key of a tag, not {len(value)}"
        )
    if value.lower().startswith("aws:"):
        raise ValueError("must not begin with aws: as the key of a tag, which AWS reserves")
    check_tag_text(value, "the key")
    return value


def _tag_value(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str) or _stands_in(info):
        return value
    if len(value) > MAX_TAG_VALUE:
        raise ValueError(
            f"must have at most {MAX_TAG_VALUE} characters as the value of a tag, not {len(value)}"
        )
    check_tag_text(value, "the value")
    return value


def _all_tags(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(value) > MAX_TAGS:
        raise ValueError(f"must have at most {MAX_TAGS} tags, not {len(value)}")
    return value


def _kms_key(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str) and not _stands_in(info) and not _KMS_KEY.match(value):
        alias = (
            f"; an alias is written alias/{value}"
            if re.fullmatch(r"[A-Za-z0-9_-]{1,250}", value)
            else ""
        )
        raise ValueError(
            f"must be a KMS key's id, its ARN, alias/NAME or an alias's ARN, not '{value}'{alias}"
        )
    return value


def _validate_expires(value: Any, info: ValidationInfo) -> Any:
    """Returns a date or time as an HTTP date; the time of a date alone is midnight, UTC."""
    if _stands_in(info):
        return value
    try:
        moment = _parse_moment(value).astimezone(timezone.utc)
    except (TypeError, ValueError, IndexError, OverflowError):
        raise ValueError(
            "must be a date such as 2027-01-31, a time such as 2027-01-31T12:00:00Z, or an HTTP"
            f" date, not '{value}'"
        ) from None
    return format_datetime(moment, usegmt=True)


def _parse_moment(value: Any) -> datetime:
    """Returns the moment of a date, a time or a text. Raises ValueError and others."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            value = parsedate_to_datetime(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
    if not isinstance(value, datetime):
        raise TypeError
    return value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)


def _validate_redirect(value: Any, info: ValidationInfo) -> Any:
    value = _validate_header(value, info)
    if not isinstance(value, str) or _stands_in(info):
        return value
    if not value.startswith(("/", "http://", "https://")):
        raise ValueError(
            "must be an object of the bucket, such as /new.html, or begin with http:// or"
            f" https://, not '{value}'"
        )
    if len(value) > MAX_METADATA:
        raise ValueError(f"must have at most {MAX_METADATA:,} characters, not {len(value):,}")
    return value


_HEADER = BeforeValidator(_validate_header)
Header = Annotated[str, _HEADER, json_form(type="string"), DYNAMIC]
"""The value of an HTTP header."""
Expires = Annotated[str, BeforeValidator(_validate_expires), json_form(type="string"), DYNAMIC]
"""A moment in the form of HTTP dates."""
Redirect = Annotated[str, BeforeValidator(_validate_redirect), json_form(type="string"), DYNAMIC]
"""The place that a website redirects to instead of an object."""
Metadata = Annotated[
    dict[
        Annotated[str, AfterValidator(_metadata_name)],
        Annotated[str, _HEADER, json_form(type="string"), DYNAMIC],
    ],
    AfterValidator(_whole_metadata),
]
"""User metadata: names that are HTTP tokens, ASCII values, 2 KB in all."""
Tags = Annotated[
    dict[
        Annotated[str, AfterValidator(_tag_key)],
        Annotated[str, BeforeValidator(_tag_value), json_form(type="string"), DYNAMIC],
    ],
    AfterValidator(_all_tags),
]
"""Tags of an object."""
KmsKey = Annotated[str, BeforeValidator(_kms_key), json_form(type="string"), DYNAMIC]
"""A KMS key: an id, an alias, or the ARN of either."""
StorageClass = Annotated[
    Literal[
        "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING",
        "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "EXPRESS_ONEZONE",
        "REDUCED_REDUNDANCY", "OUTPOSTS", "SNOW", "FSX_OPENZFS", "FSX_ONTAP",
    ],
    DYNAMIC,
]  # fmt: skip
"""A storage class that S3 has (S3 API reference, PutObject)."""

__all__ = ["Expires", "Header", "KmsKey", "Metadata", "Redirect", "StorageClass", "Tags"]
