"""Parses YAML into plain values with their places. The only module that imports yaml.

PyYAML silently keeps the last of two equal keys, reads ``no`` as false, ``012`` as ten and
``1:30`` as ninety, and expands aliases without a limit. This parser uses PyYAML's *events* and
decides these itself: scalars follow the core schema of YAML 1.2, duplicate keys are errors, and
depth, size and alias expansion are limited.
"""

from __future__ import annotations

import math
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Union

import yaml

from rolerunner.errors import Mark, Problem, SpecError
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_BYTES = 1 << 20
"""Maximum length of a spec in characters; 10,000 steps take about a megabyte."""
MAX_DEPTH = 40
"""Maximum nesting of mappings and lists."""
MAX_NODES = 200_000
"""Maximum number of values after alias expansion, which stops alias bombs."""

Path = tuple[Union[str, int], ...]
"""The path to a value from the top level: keys and list positions."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEAN = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
# Numbers with a leading zero stay text: 012345670123 is an account id, and 0777 a file mode.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_NUMBER = 40


@dataclass(frozen=True)
class Document:
    """The data of a YAML file, with the place of every value."""

    file: str
    data: Any
    lines: tuple[str, ...] = field(repr=False)
    _values: dict[Path, Mark] = field(repr=False)
    _keys: dict[Path, Mark] = field(repr=False)
    blocks: frozenset[Path] = field(repr=False, default=frozenset())
    """Paths of block scalars (``|`` and ``>``), whose text starts on the line after the mark."""
    origins: Mapping[Path, Origin] = field(repr=False, default_factory=dict)
    """The places of values that are written elsewhere than at their path, and of nulls."""

    def locate(self, path: Path) -> Origin:
        """Returns the document and the path at which the value at ``path`` is written."""
        for length in range(len(path), 0, -1) if self.origins else ():
            found = self.origins.get(path[:length])
            if found is not None:
                return Origin(found.document, found.path + path[length:])
        return Origin(self, path)

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """Returns the place of the value (or key) at ``path``, or of the closest one around it."""
        document, path = self.locate(path)
        if document is not self:
            return document.mark(path, key=key)
        marks = self._keys if key else self._values
        while path and path not in marks:
            path, marks = path[:-1], self._values
        return marks.get(path, Mark(self.file, 1, 1))

    def problem(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
        """Returns a problem at ``path``, with its line of text."""
        return self.problem_at(self.mark(path, key=key), message, hint)

    def problem_at(self, mark: Mark, message: str, hint: str = "") -> Problem:
        """Returns a problem at ``mark``, with its line of text."""
        lines = self.lines if mark.file == self.file else self._find_lines(mark.file)
        line = lines[mark.line - 1] if 0 < mark.line <= len(lines) else ""
        return Problem(mark, message, hint, line)

    def holds(self, path: Path) -> bool:
        """Returns True if there is a value at ``path``, or was one that is taken away."""
        document, path = self.locate(path)
        return path in document._values  # noqa: SLF001 - of the same class

    def _find_lines(self, file: str) -> tuple[str, ...]:
        documents = (origin.document for origin in self.origins.values())
        return next((each.lines for each in documents if each.file == file), ())


class Origin(NamedTuple):
    """The document and the path at which a value is written."""

    document: Document
    path: Path


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


class _ParsingStopped(Exception):
    """Parsing cannot continue."""


@dataclass
class _Anchor:
    value: Any
    nodes: int


class _DocumentBuilder:
    """Builds values from events, with one level of recursion for each level of nesting."""

    def __init__(self, text: str, file: str, *, show_text: bool) -> None:
        self.file = file
        self.show_text = show_text
        self.text = text
        self.lines = tuple(text.splitlines())
        self.problems: list[Problem] = []
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
            self.problems.append(self._syntax_problem(error))
        except yaml.reader.ReaderError as error:
            self._add_problem(
                self._mark_at(error.position),
                f"not YAML: the character {_code_point(error.character)} is not allowed",
            )
        except _ParsingStopped:
            pass
        if self.problems:
            raise SpecError(self.problems)
        return Document(self.file, data, self.lines, self.values, self.keys, frozenset(self.blocks))

    def _check_text(self) -> None:
        if len(self.text) > MAX_BYTES:
            self._raise_problem(
                Mark(self.file, 1, 1),
                f"the file is larger than {MAX_BYTES >> 20} MiB",
                "a spec lists steps, not data",
            )
        found = re.search(r"[\ud800-\udfff\x00]", self.text)
        if found:
            self._raise_problem(
                self._mark_at(found.start()),
                f"not YAML: the character {_code_point(found.group())} is not allowed",
            )
        if not self.text.strip():
            self._raise_problem(
                Mark(self.file, 1, 1), "the file is empty", "start the spec with 'version: 1'"
            )

    def _only_document(self) -> Any:
        data, seen = None, 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                seen += 1
                if seen > 1:
                    self._raise_problem(
                        self._mark_event(event),
                        "a second YAML document starts here",
                        "a file can contain one document only",
                    )
                data = self._build_value(next(self.events), (), 0)
        if seen == 0:
            self._raise_problem(
                Mark(self.file, 1, 1),
                "the file contains only comments",
                "start the spec with 'version: 1'",
            )
        return data

    def _build_value(self, event: Any, path: Path, depth: int) -> Any:
        self._count_nodes(event, 1)
        self.values.setdefault(path, self._mark_event(event))
        if isinstance(event, yaml.AliasEvent):
            return self._build_alias(event)
        before = self.nodes
        if isinstance(event, yaml.ScalarEvent):
            value = self._build_scalar(event, path)
        elif depth >= MAX_DEPTH:
            self._raise_problem(self._mark_event(event), f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "tag:yaml.org,2002:seq")
            value = self._build_sequence(path, depth)
        else:
            self._check_tag(event, "tag:yaml.org,2002:map")
            value = self._build_mapping(path, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchor(value, self.nodes - before + 1)
        return value

    def _build_alias(self, event: Any) -> Any:
        anchor = self.anchors.get(event.anchor)
        if anchor is None:
            self._raise_problem(
                self._mark_event(event),
                self._quote_text(
                    f"the alias *{event.anchor} has no anchor &{event.anchor} before it",
                    "an alias has no anchor before it",
                ),
            )
        self._count_nodes(event, anchor.nodes)
        return anchor.value

    def _count_nodes(self, event: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self._raise_problem(
                self._mark_event(event), f"more than {MAX_NODES:,} values after alias expansion"
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
        merged: list[dict[str, Any]] = []
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
                message = self._quote_text(f"duplicate key '{key}'", "duplicate key")
                self._add_problem(
                    self._mark_event(event), message, f"the first is on line {first.line}"
                )
            self.keys.setdefault(place, self._mark_event(event))
            values[key] = self._build_value(value_event, place, depth + 1)
        for mapping in merged:  # own keys win over merged ones, and earlier merges over later ones
            for key, value in mapping.items():
                values.setdefault(key, value)
        return values

    def _read_key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._raise_problem(
                self._mark_event(event), "a key must be plain text", self._key_hint(event)
            )
        self._count_nodes(event, 1)
        self._check_characters(event)
        return str(event.value)

    def _key_hint(self, event: Any) -> str:
        if self.lines[event.start_mark.line][: event.start_mark.column].endswith("{"):
            return (
                "write an expression as ${{ params.NAME }}, "
                "in quotes if the value does not begin with it"
            )
        return "put a value that begins with '{', '[' or '${{' in quotes"

    def _merge_mappings(self, event: Any, path: Path, depth: int) -> list[dict[str, Any]]:
        value = self._build_value(event, path, depth + 1)
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            self._add_problem(
                self._mark_event(event), "'<<' merges mappings", "write '<<: *anchor'"
            )
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
            message = self._quote_text(
                f"the tag '{event.tag}' is not allowed", "tags are not allowed"
            )
            self._add_problem(
                self._mark_event(event), message, "a spec can contain plain values only"
            )

    def _check_characters(self, event: Any) -> None:
        """Reports half of a surrogate pair, which quoted text can contain as an escape."""
        found = None if event.value.isascii() else _SURROGATE.search(event.value)
        if found:
            self._add_problem(
                self._mark_event(event),
                f"the character {_code_point(found.group())} is half of a surrogate pair",
                "write the character as \\U and eight digits",
            )

    def _mark_event(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _mark_at(self, position: int) -> Mark:
        before = self.text[:position]
        return Mark(self.file, before.count("\n") + 1, position - before.rfind("\n"))

    def _quote_text(self, message: str, without: str) -> str:
        """Returns the message that quotes the text, or the one without it."""
        return message if self.show_text else without

    def _source_line(self, number: int) -> str:
        return self.lines[number - 1] if self.show_text and 0 < number <= len(self.lines) else ""

    def _add_problem(self, mark: Mark, message: str, hint: str = "") -> None:
        line = self._source_line(mark.line)
        self.problems.append(Problem(mark, message, hint, line))

    def _raise_problem(self, mark: Mark, message: str, hint: str = "") -> NoReturn:
        self._add_problem(mark, message, hint)
        raise _ParsingStopped

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        place = Mark(self.file, mark.line + 1, mark.column + 1) if mark else Mark(self.file, 1, 1)
        line = self._source_line(place.line)
        if not self.show_text:
            return Problem(place, "not YAML", "put a value that contains ': ' or '#' in quotes")
        context = f" {error.context}" if error.context else ""
        return Problem(
            place,
            f"not YAML: {error.problem or 'syntax error'}{context}",
            _syntax_hint(line, error),
            line,
        )


def parse_scalar(text: str) -> Any:
    """Converts an unquoted scalar by YAML 1.2's core schema: to null, bool, number or text."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if len(text) <= _LONGEST_NUMBER:
        if _INTEGER.match(text):
            return int(text)
        if _FLOAT.match(text):
            number = float(text)
            return number if math.isfinite(number) else text  # JSON has no number for 1e999
    return text


def _syntax_hint(line: str, error: yaml.MarkedYAMLError) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not tabs"
    if "${{" in line or "{{" in line:
        return (
            "put a value with '${{ ... }}' in quotes inside '{ }' and '[ ]', "
            "and if it contains ':' or '#'"
        )
    if "mapping values are not allowed" in str(error.problem):
        return "put a value that contains ': ' in quotes, or check the indentation"
    return ""


def _code_point(character: Any) -> str:
    code = character if isinstance(character, int) else ord(str(character)[:1] or "\0")
    return f"U+{code:04X}"


def dump_yaml(value: Any) -> str:
    """Returns plain values as YAML, in their order and without aliases."""
    return str(yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=150))


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True
