"""Collects the mistakes of a YAML file, with their places."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from rolerunner.errors import Mark, Problem

if TYPE_CHECKING:
    import yaml


_SECRET = re.compile(r"(customer_key|password|private_key|passphrase)[\"']?\s*:")
_STRANGE_SPACE = re.compile("[\u00a0\u2007\u202f\u200b\u2060\u3000]")
_SPECIAL_START = re.compile(r"^[^#]*?(?::|-|\[|,)\s+([*&!%@`|>])|^[^#]*?\[([*&!%@`])")
_DEFAULT = re.compile(r"default[\"']?\s*:")


class ParsingStopped(Exception):
    """Parsing cannot continue."""


class YamlProblems:
    """The mistakes of one file, and the places of its events."""

    def __init__(self, text: str, file: str, *, show_text: bool) -> None:
        self.text = text
        self.file = file
        self.show_text = show_text
        self.lines = tuple(text.splitlines())
        self.found: list[Problem] = []

    def add(self, mark: Mark, message: str, hint: str = "") -> None:
        """Adds a mistake at a place, with its line of text."""
        line = self._source_line(mark.line)
        self.found.append(Problem(mark, message, hint, "" if self._may_hold_secret(line) else line))

    def add_at(self, event: Any, message: str, hint: str = "") -> None:
        """Adds a mistake at the place of an event."""
        self.add(mark_event(self.file, event), message, hint)

    def stop(self, mark: Mark, message: str, hint: str = "") -> NoReturn:
        """Adds a mistake after which parsing cannot continue. Raises ParsingStopped."""
        self.add(mark, message, hint)
        raise ParsingStopped

    def stop_at(self, event: Any, message: str, hint: str = "") -> NoReturn:
        """Adds a mistake at an event after which parsing cannot continue. Raises ParsingStopped."""
        self.stop(mark_event(self.file, event), message, hint)

    def add_syntax_error(self, error: yaml.MarkedYAMLError) -> None:
        """Adds an error of PyYAML's parser."""
        mark = error.problem_mark or error.context_mark
        place = Mark(self.file, mark.line + 1, mark.column + 1) if mark else Mark(self.file, 1, 1)
        if not self.show_text:
            self.add(place, "not YAML", "put a value that contains ': ' or '#' in quotes")
            return
        context = f" {error.context}" if error.context else ""
        message = f"not YAML: {error.problem or 'syntax error'}{context}"
        self.add(place, message, self._find_hint(place, error))

    def _find_hint(self, place: Mark, error: yaml.MarkedYAMLError) -> str:
        strange = next(
            (
                number
                for number in range(place.line, max(place.line - 3, 0), -1)
                if _STRANGE_SPACE.search(self._source_line(number))
            ),
            0,
        )
        if strange:
            found = _STRANGE_SPACE.search(self._source_line(strange))
            code = format_code_point(found.group() if found else "")
            return f"line {strange} contains {code}, which only looks like a space"
        line = self._source_line(place.line)
        opened = error.context_mark
        if opened is not None and opened.line + 1 < place.line and not line.strip():
            return f"it begins on line {opened.line + 1}, and nothing ends it"
        return _find_syntax_hint(line, error)

    def refuse_character(self, position: int, character: Any) -> None:
        """Adds a character that no YAML may contain."""
        before = self.text[:position]
        mark = Mark(self.file, before.count("\n") + 1, position - before.rfind("\n"))
        self.add(mark, f"not YAML: the character {format_code_point(character)} is not allowed")

    def quote_text(self, message: str, without: str) -> str:
        """Returns the message that quotes the text, or the one without it."""
        return message if self.show_text else without

    def _may_hold_secret(self, line: str) -> bool:
        """Returns True for the key of a secret, or a default in a file with secret params.

        Which values are secrets is not known of a file that is not YAML.
        """
        is_default = "secret" in self.text and _DEFAULT.search(line) is not None
        return is_default or _SECRET.search(line) is not None

    def _source_line(self, number: int) -> str:
        return self.lines[number - 1] if self.show_text and 0 < number <= len(self.lines) else ""


def mark_event(file: str, event: Any) -> Mark:
    """Returns the place at which an event starts."""
    return Mark(file, event.start_mark.line + 1, event.start_mark.column + 1)


def format_code_point(character: Any) -> str:
    """Returns a character, or its number, as U+ and its hexadecimal number."""
    code = character if isinstance(character, int) else ord(str(character)[:1] or "\0")
    return f"U+{code:04X}"


def _find_syntax_hint(line: str, error: yaml.MarkedYAMLError) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not tabs"
    if "${{" in line or "{{" in line:
        return (
            "put a value with '${{ ... }}' in quotes inside '{ }' and '[ ]', "
            "and if it contains ':' or '#'"
        )
    problem = str(error.problem)
    if "unknown escape character" in problem:
        return "write the text in single quotes, or each \\ twice"
    begins = _SPECIAL_START.search(line)
    if begins and ("cannot start any token" in problem or "alphabetic or numeric" in problem):
        return f"put a value that begins with '{begins[1] or begins[2]}' in quotes"
    if "mapping values are not allowed" in problem:
        return "put a value that contains ': ' in quotes, or check the indentation"
    return ""
