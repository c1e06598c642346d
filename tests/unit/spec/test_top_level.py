"""The top level of a spec: its version, and what is kept of one with mistakes."""

from __future__ import annotations

import pytest

from rolerunner.errors import SpecError
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.schema import SpecFile
from rolerunner.spec.top_level import parse_top_level
from rolerunner.spec.yaml_parser import parse_document

REST = "name: n\nsteps: [{id: a, action: s3.list}]\n"


def parse(text: str) -> tuple[SpecFile, SpecReader, list[str]]:
    reader = SpecReader(parse_document(text, "t.yaml"), LoadContext())
    top = parse_top_level(reader)
    return top, reader, [str(each) for each in reader.known.problems]


def test_a_spec_is_a_mapping() -> None:
    with pytest.raises(SpecError, match="must be a mapping that starts with 'version: 1'"):
        parse("[version, 1]\n")


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("", "t.yaml:1:1: 'version' is missing (start the spec with 'version: 1')"),
        ("version: '1'\n", "t.yaml:1:10: 'version' must be 1, not '1' (write version: 1)"),
        ("version: true\n", "t.yaml:1:10: 'version' must be 1, not true (write version: 1)"),
        ("version: 1.0\n", "t.yaml:1:10: 'version' must be 1, not 1.0 (write version: 1)"),
    ],
)
def test_a_version_that_can_only_mean_one(line: str, mistake: str) -> None:
    top, _, mistakes = parse(line + REST)
    assert (top.name, mistakes) == ("n", [mistake])


def test_another_version_is_the_only_mistake() -> None:
    with pytest.raises(SpecError) as caught:
        parse("version: 2\nname: 5\nunknown: x\n")
    (problem,) = caught.value.problems
    assert problem.message == "'version' must be 1, not 2"
    assert problem.hint == "this release of rolerunner supports version 1 only"


def test_what_is_valid_is_kept() -> None:
    top, _, mistakes = parse("version: 1\nname: n\nmax_parallel: x\nsteps: [{id: a}]\n")
    assert (top.name, top.steps) == ("n", [{"id": "a"}])
    assert top.max_parallel == SpecFile.model_fields["max_parallel"].default
    assert len(mistakes) == 1


def test_params_with_mistakes_have_no_value() -> None:
    text = "params: {a: {type: nonsense}, b: {default: x}}\n"
    top, reader, mistakes = parse("version: 1\n" + text + REST)
    assert (list(top.params), reader.known.undecided) == (["b"], {"a"})
    assert len(mistakes) == 1
