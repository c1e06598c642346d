"""The data of a YAML file, with the place of every value."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from rolerunner.errors import Mark, Problem
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = tuple[Union[str, int], ...]
"""The path to a value from the top level: keys and list positions."""


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

    def mark_offset(self, path: Path, text: str, offset: int) -> Mark:
        """Returns the place of the character at ``offset`` of a scalar's text, or of the scalar."""
        document, path = self.locate(path)
        if path in document.blocks:
            return document._mark_in_block(path, text, offset)  # noqa: SLF001 - of the same class
        mark = document.mark(path)
        found = document.lines[mark.line - 1].find(text, mark.column - 1)
        return replace(mark, column=found + 1 + offset) if found >= 0 else mark

    def _mark_in_block(self, path: Path, text: str, offset: int) -> Mark:
        mark = self.mark(path)
        line = mark.line + 1 + text.count("\n", 0, offset)
        before = text.rfind("\n", 0, offset) + 1
        end = text.find("\n", before)
        part = text[before : end if end >= 0 else None]
        indent = self.lines[line - 1].find(part) if line <= len(self.lines) else 0
        return replace(mark, line=line, column=max(indent, 0) + 1 + offset - before)

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
