"""JSON forms of values: a strict check for outputs, and a total conversion for display."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from rolerunner.common.patterns import compile_on_use
from rolerunner.lazy_dataclass import dataclass

MAX_DEPTH = 100
"""Levels of nesting in an output. Other JSON parsers allow 64 to 512, Python about 900."""
MOST_VALUES = 100_000
"""Values of an output that are shown; the others are counted."""
MOST_TEXT = 16 << 20
"""Characters of an output that are shown."""
_MAX_BITS = 13_000
"""Bits of an integer shown in decimal: Python refuses to format more than 4,300 digits."""
_SURROGATE = compile_on_use("[\ud800-\udfff]")
_PLAIN_KEYS = (str, int, float, bool, type(None))
"""Types of keys that json.dumps accepts."""


def read_json(text: str) -> Any:
    """Parses JSON as RFC 8259 defines it. Raises ValueError, also for NaN and for deep nesting."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    check_json(value)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value (RFC 8259)")


def check_json(value: Any) -> None:
    """Raises ValueError, with the place, for a value that has no JSON form."""
    _check_value(value, "", 0)


def _check_value(value: Any, place: str, depth: int) -> None:
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{_format_place(place)}{value} is not a JSON value (RFC 8259)")
    elif isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise ValueError(
                f"{_format_place(place)}an integer of {value.bit_length():,} bits is too large"
            )
    elif depth >= MAX_DEPTH:
        raise ValueError(f"{_format_place(place[:100])}nested deeper than {MAX_DEPTH} levels")
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            _check_value(each, f"{place}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, _PLAIN_KEYS):
                message = f"{_format_place(place)}a key of type {type(key).__name__} is no text"
                raise ValueError(message)  # noqa: TRY004 - one kind of error for callers
            _check_value(each, f"{place}.{key}", depth + 1)
    else:
        raise ValueError(
            f"{_format_place(place)}a value of type {type(value).__name__} has no JSON form"
        )


def _format_place(place: str) -> str:
    return f"at '{place.lstrip('.')}': " if place else ""


def json_text(value: Any, *, indent: int = 2) -> str:
    """Returns converted values as JSON text, lone surrogates escaped. Raises ValueError for NaN."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def safe_text(value: Any) -> str:
    """Returns ``str`` of any object, also of one whose ``__str__`` raises."""
    try:
        return str(value)
    except BaseException as error:  # noqa: BLE001 - showing an error must not hide it
        return f"<{type(value).__name__}, whose text cannot be shown: {type(error).__name__}>"


def json_value(value: Any, *, most_values: int = MOST_VALUES, most_text: int = MOST_TEXT) -> Any:
    """Converts any value to plain JSON types for display. Never fails; the size is bounded.

    NaN and infinities become text, bytes text or base64, dates ISO 8601, sets lists, lists of
    objects their summary, other objects their text, lone surrogates U+FFFD. What is too long or
    too deep is cut, with a note.
    """
    return _Converter(most_values, most_text).convert(value, 0)


@dataclass
class _Converter:
    values: int
    text: int

    def convert(self, value: Any, depth: int) -> Any:
        self.values -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._convert_text(value)
        if isinstance(value, (int, float)):
            return self._convert_number(value)
        try:
            return self._convert_other(value, depth)
        except Exception:  # noqa: BLE001 - a user's object may raise anything
            return self._convert_text(safe_text(value))

    def _convert_number(self, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            return self._convert_text(hex(value))
        return value

    def _convert_other(self, value: Any, depth: int) -> Any:
        if hasattr(value, "summary"):
            return self.convert(value.summary(), depth)
        if isinstance(value, (date, time)):
            return value.isoformat()
        if isinstance(value, (bytes, bytearray)):
            return self._convert_text(_bytes_text(bytes(value)))
        if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
            return self._convert_text(safe_text(value))
        if depth >= MAX_DEPTH:
            return f"(nested deeper than {MAX_DEPTH} levels)"
        return (
            self._convert_mapping(value, depth)
            if isinstance(value, Mapping)
            else self._convert_sequence(value, depth)
        )

    def _convert_sequence(self, value: Any, depth: int) -> list[Any]:
        shown: list[Any] = []
        for each in value:
            if self.values <= 0 or self.text <= 0:
                return [*shown, f"(and {len(value) - len(shown):,} more)"]
            shown.append(self.convert(each, depth + 1))
        return shown

    def _convert_mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, each in value.items():
            if self.values <= 0 or self.text <= 0:
                return {**shown, "...": f"(and {len(value) - len(shown):,} more)"}
            shown[self._convert_key(key)] = self.convert(each, depth + 1)
        return shown

    def _convert_key(self, key: Any) -> str:
        if isinstance(key, str):
            return self._convert_text(key)
        return (
            json.dumps(key)
            if key is None or isinstance(key, bool)
            else self._convert_text(
                str(self._convert_number(key)) if _is_number(key) else safe_text(key)
            )
        )

    def _convert_text(self, text: str) -> str:
        left = max(self.text, 0)
        self.text -= len(text)
        if len(text) > left:
            text = f"{text[:left]}... ({len(text):,} characters)"
        return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _bytes_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()
