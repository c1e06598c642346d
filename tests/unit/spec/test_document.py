"""The places of values in a file, also of values that are written elsewhere."""

from __future__ import annotations

from dataclasses import replace

from rolerunner.errors import Mark
from rolerunner.spec.document import Document, Origin
from rolerunner.spec.yaml_parser import parse_document

TEXT = """\
a: {b: 1, c: 'x y'}
text: |
  one
    two
folded: plain
"""


def parse() -> Document:
    return parse_document(TEXT, "f.yaml")


def place(mark: Mark) -> tuple[str, int, int]:
    return mark.file, mark.line, mark.column


def test_the_place_of_a_value_and_of_its_key() -> None:
    document = parse()
    assert place(document.mark(("a", "c"))) == ("f.yaml", 1, 14)
    assert place(document.mark(("a", "c"), key=True)) == ("f.yaml", 1, 11)


def test_a_value_that_is_not_there_has_the_place_of_what_is_around_it() -> None:
    document = parse()
    assert place(document.mark(("a", "zz", 0))) == ("f.yaml", 1, 4)
    assert place(document.mark(("zz",), key=True)) == ("f.yaml", 1, 1)
    assert (document.holds(("a", "b")), document.holds(("a", "zz"))) == (True, False)


def test_the_place_of_a_character() -> None:
    document = parse()
    assert place(document.mark_offset(("a", "c"), "x y", 2)) == ("f.yaml", 1, 17)
    assert place(document.mark_offset(("text",), "one\n  two\n", 6)) == ("f.yaml", 4, 5)
    # text that is not on the line as it is, such as one with an escape, has the scalar's place
    assert place(document.mark_offset(("folded",), "other", 3)) == ("f.yaml", 5, 9)


def test_a_value_that_is_written_in_another_file() -> None:
    other = parse_document("x:\n  b: 2\n", "g.yaml")
    document = replace(parse(), origins={("a", "b"): Origin(other, ("x", "b"))})
    assert place(document.mark(("a", "b"))) == ("g.yaml", 2, 6)
    problem = document.problem(("a", "b"), "wrong", "a hint")
    assert (problem.line, problem.hint) == ("  b: 2", "a hint")
    assert document.holds(("a", "b"))


def test_a_place_outside_of_the_file_has_no_line() -> None:
    assert parse().problem_at(Mark("f.yaml", 99, 1), "wrong").line == ""
    assert parse().problem_at(Mark("other.yaml", 1, 1), "wrong").line == ""
