"""Makes each field that a JSON Schema repeats a definition, to which all its places refer."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LISTS = ("anyOf", "allOf", "oneOf")
_SINGLE = ("items", "additionalProperties", "if", "then", "else", "not")
_MIN_LENGTH = 100
"""Characters from which a field is worth a definition."""


def share_fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema with one definition for each field that it has more than once."""
    return _Sharing(schema).share()


class _Sharing:
    """The repeated fields of a schema, by their text, and the names of their definitions."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        counts = Counter(text for _, text in _iter_fields(schema))
        self._names: dict[str, str] = {}
        self._taken = set(schema["definitions"])
        for name, text in _iter_fields(schema):
            if name and counts[text] > 1 and len(text) >= _MIN_LENGTH and text not in self._names:
                self._names[text] = self._choose_name(name)
        self._shared: dict[str, Any] = {}

    def share(self) -> dict[str, Any]:
        schema = self._share_within(self._schema)
        definitions = {**schema["definitions"], **self._shared}
        return {**schema, "definitions": {name: definitions[name] for name in sorted(definitions)}}

    def _choose_name(self, field: str) -> str:
        name, number = field, 1
        while name in self._taken:
            number += 1
            name = f"{field}-{number}"
        self._taken.add(name)
        return name

    def _share_within(self, schema: Any) -> Any:
        """Returns a schema whose fields and choices refer to definitions."""
        if not isinstance(schema, dict):
            return schema
        shared = dict(schema)
        for key, value in schema.items():
            if key == "definitions":
                shared[key] = {name: self._share_within(each) for name, each in value.items()}
            elif key == "properties":
                shared[key] = {name: self._refer(each) for name, each in value.items()}
            elif key in _LISTS:
                shared[key] = [self._refer(each) for each in value]
            elif key in _SINGLE:
                shared[key] = self._share_within(value)
        return shared

    def _refer(self, field: Any) -> Any:
        name = self._names.get(_render(field))
        if name is None:
            return self._share_within(field)
        if name not in self._shared:
            self._shared[name] = self._share_within(field)
        return {"$ref": f"#/definitions/{name}"}


def _iter_fields(schema: Any) -> Iterator[tuple[str, str]]:
    """Yields the text of each field with its name, and that of each choice without one."""
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key == "properties":
            for field, each in value.items():
                yield field, _render(each)
                yield from _iter_fields(each)
        elif key == "definitions":
            for each in value.values():
                yield from _iter_fields(each)
        elif key in _LISTS:
            for each in value:
                yield "", _render(each)
                yield from _iter_fields(each)
        elif key in _SINGLE:
            yield from _iter_fields(value)


def _render(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True)
