"""Parses YAML into plain values with their places. The only module that imports yaml.

PyYAML silently keeps the last of two equal keys, reads ``no`` as false, ``012`` as ten and
``1:30`` as ninety, and expands aliases without a limit. This parser uses PyYAML's *events* and
decides these itself: scalars follow the core schema of YAML 1.2, duplicate keys are errors, and
depth, size and alias expansion are limited.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from rolerunner.errors import Mark, Problem, SpecError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.document import Document
from rolerunner.spec.scalars import parse_scalar
from rolerunner.spec.yaml_problems import (
    ParsingStopped,
    YamlProblems,
    format_code_point,
    mark_event,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.spec.document import Path

MAX_BYTES = 1 << 20
"""Maximum length of a spec in characters; 10,000 steps take about a megabyte."""
MAX_DEPTH = 40
"""Maximum nesting of mappings and lists."""
MAX_NODES = 200_000
"""Maximum number of values after alias expansion, which stops alias bombs."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_document(text: str, file: str, *, show_text: bool = True) -> Document:
    """Parses a YAML document.

    Raises SpecError with every duplicate key, unknown tag and bad alias; parsing ends at a syntax
    error. Without ``show_text`` errors contain places but no text, for files that may not be what
    the caller expects.
    """
    return _DocumentBuilder(text, file, show_text=show_text).document()


def parse_versioned_document(text: str, file: str, what: str) -> Document:
    """Parses a file with a version, such as a test file; ``what`` names its kind in errors.

    Raises SpecError as ``parse_document`` does, without showing the file's text.
    """
    document = parse_document(text, file, show_text=False)
    if not isinstance(document.data, dict) or "version" not in document.data:
        raise SpecError(
            [Problem(Mark(file, 1, 1), f"{what} must be a mapping that starts with 'version: 1'")]
        )
    return document


@dataclass
class _Anchor:
    value: Any
    nodes: int
    path: Path


class _DocumentBuilder:
    """Builds values from events, with one level of recursion for each level of nesting."""

    def __init__(self, text: str, file: str, *, show_text: bool) -> None:
        self.file = file
        self.text = text
        self.problems = YamlProblems(text, file, show_text=show_text)
        self.values: dict[Path, Mark] = {}
        self.keys: dict[Path, Mark] = {}
        self.blocks: set[Path] = set()
        self.anchors: dict[str, _Anchor] = {}
        self.nodes = 0
        self.events: Iterator[Any] = iter(())

    def document(self) -> Document:
        data = None
        try:
            self._check_text()
            self.events = yaml.parse(self.text, Loader=_LOADER)
            data = self._only_document()
        except yaml.MarkedYAMLError as error:
            self.problems.add_syntax_error(error)
        except yaml.reader.ReaderError as error:
            self.problems.refuse_character(error.position, error.character)
        except ParsingStopped:
            pass
        if self.problems.found:
            raise SpecError(self.problems.found)
        blocks = frozenset(self.blocks)
        return Document(self.file, data, self.problems.lines, self.values, self.keys, blocks)

    def _check_text(self) -> None:
        if len(self.text) > MAX_BYTES:
            self.problems.stop(
                Mark(self.file, 1, 1),
                f"the file is larger than {MAX_BYTES >> 20} MiB",
                "a spec lists steps, not data",
            )
        found = re.search(r"[\ud800-\udfff\x00]", self.text)
        if found:
            self.problems.refuse_character(found.start(), found.group())
            raise ParsingStopped
        if not self.text.strip():
            self.problems.stop(
                Mark(self.file, 1, 1), "the file is empty", "start the spec with 'version: 1'"
            )

    def _only_document(self) -> Any:
        data, seen = None, 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                seen += 1
                if seen > 1:
                    self.problems.stop_at(
                        event,
                        "a second YAML document starts here",
                        "a file can contain one document only",
                    )
                data = self._build_value(next(self.events), (), 0)
        if seen == 0:
            self.problems.stop(
                Mark(self.file, 1, 1),
                "the file contains only comments",
                "start the spec with 'version: 1'",
            )
        return data

    def _build_value(self, event: Any, path: Path, depth: int) -> Any:
        self._count_nodes(event, 1)
        self.values.setdefault(path, mark_event(self.file, event))
        if isinstance(event, yaml.AliasEvent):
            return self._build_alias(event, path)
        before = self.nodes
        if isinstance(event, yaml.ScalarEvent):
            value = self._build_scalar(event, path)
        elif depth >= MAX_DEPTH:
            self.problems.stop_at(event, f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "tag:yaml.org,2002:seq")
            value = self._build_sequence(path, depth)
        else:
            self._check_tag(event, "tag:yaml.org,2002:map")
            value = self._build_mapping(path, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchor(value, self.nodes - before + 1, path)
        return value

    def _build_alias(self, event: Any, path: Path) -> Any:
        anchor = self.anchors.get(event.anchor)
        if anchor is None:
            self.problems.stop_at(
                event,
                self.problems.quote_text(
                    f"the alias *{event.anchor} has no anchor &{event.anchor} before it",
                    "an alias has no anchor before it",
                ),
            )
        self._count_nodes(event, anchor.nodes)
        self._copy_places(anchor.value, anchor.path, path)
        return anchor.value

    def _copy_places(self, value: Any, source: Path, target: Path) -> None:
        """Gives the values inside an alias or a merged mapping the places of their text."""
        inner = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        for key, each in inner:
            at, to = (*source, key), (*target, key)
            if to not in self.values and at in self.values:
                self.values[to] = self.values[at]
                if at in self.keys:
                    self.keys[to] = self.keys[at]
                if at in self.blocks:
                    self.blocks.add(to)
                self._copy_places(each, at, to)

    def _count_nodes(self, event: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self.problems.stop_at(
                event,
                f"more than {MAX_NODES:,} values after alias expansion",
            )

    def _build_sequence(self, path: Path, depth: int) -> list[Any]:
        values: list[Any] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            values.append(self._build_value(event, (*path, len(values)), depth + 1))
        return values

    def _build_mapping(self, path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[tuple[dict[str, Any], Path]] = []
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._read_key(event)
            value_event = next(self.events)
            if key == "<<" and event.implicit[0]:
                merged.extend(self._merge_mappings(value_event, (*path, key), depth))
                continue
            place = (*path, key)
            if key in values:
                first = self.keys[place]
                message = self.problems.quote_text(f"duplicate key '{key}'", "duplicate key")
                self.problems.add_at(event, message, f"the first is on line {first.line}")
            self.keys.setdefault(place, mark_event(self.file, event))
            values[key] = self._build_value(value_event, place, depth + 1)
        for mapping, source in merged:  # own keys win over merged ones, earlier merges over later
            own = {key: value for key, value in mapping.items() if key not in values}
            values.update(own)
            self._copy_places(own, source, path)
        return values

    def _read_key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self.problems.stop_at(event, "a key must be plain text", self._key_hint(event))
        self._count_nodes(event, 1)
        self._check_characters(event)
        return str(event.value)

    def _key_hint(self, event: Any) -> str:
        if self.problems.lines[event.start_mark.line][: event.start_mark.column].endswith("{"):
            return (
                "write an expression as ${{ params.NAME }}, "
                "in quotes if the value does not begin with it"
            )
        return "put a value that begins with '{', '[' or '${{' in quotes"

    def _merge_mappings(
        self, event: Any, path: Path, depth: int
    ) -> list[tuple[dict[str, Any], Path]]:
        """Returns the mappings of a merge key, each with the path of its places."""
        value = self._build_value(event, path, depth + 1)
        mappings = (
            [(each, (*path, index)) for index, each in enumerate(value)]
            if isinstance(value, list)
            else [(value, path)]
        )
        if not all(isinstance(mapping, dict) for mapping, _ in mappings):
            self.problems.add_at(event, "'<<' merges mappings", "write '<<: *anchor'")
            return []
        return mappings

    def _build_scalar(self, event: Any, path: Path) -> Any:
        self._check_tag(event, "tag:yaml.org,2002:str")
        self._check_characters(event)
        if event.style in ("|", ">"):
            self.blocks.add(path)
        if event.style or event.tag is not None:
            return event.value
        return parse_scalar(event.value)

    def _check_tag(self, event: Any, allowed: str) -> None:
        if event.tag not in (None, "!", allowed):
            message = self.problems.quote_text(
                f"the tag '{event.tag}' is not allowed", "tags are not allowed"
            )
            self.problems.add_at(event, message, "a spec can contain plain values only")

    def _check_characters(self, event: Any) -> None:
        """Reports half of a surrogate pair, which quoted text can contain as an escape."""
        found = None if event.value.isascii() else _SURROGATE.search(event.value)
        if found:
            self.problems.add_at(
                event,
                f"the character {format_code_point(found.group())} is half of a surrogate pair",
                "write the character as \\U and eight digits",
            )


def dump_yaml(value: Any) -> str:
    """Returns plain values as YAML, in their order and without aliases."""
    return str(yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=150))


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True
