"""Sections of a spec that depend on its params and roles, and what of them is not known yet."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.actions import registry
from rolerunner.model import JOB
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.roles import Roles
from rolerunner.spec.sections import Sections, parse_sections
from rolerunner.spec.top_level import parse_top_level
from rolerunner.spec.yaml_parser import parse_document

LIST = "{id: a, action: s3.list, role: job, source: s3://box/}"
HEAD = f"version: 1\nname: n\nsteps: [{LIST}]\n"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"


def parse(text: str, **known: Any) -> tuple[Sections, list[str], list[str]]:
    """Returns the sections, what is undecided, and the mistakes."""
    reader = SpecReader(parse_document(HEAD + text, "t.yaml"), LoadContext(**known))
    top = parse_top_level(reader)
    sections = parse_sections(top, registry(), Roles(), reader)
    mistakes = [each.message for each in reader.known.problems]
    return sections, list(sections.list_undecided(top)), mistakes


def test_a_spec_without_sections() -> None:
    sections, undecided, _ = parse("")
    assert (sections.state, sections.notify, sections.glue) == (None, (), None)
    assert (dict(sections.sources), undecided) == ({}, [])


def test_the_place_of_the_state() -> None:
    text = "state: {location: 's3://ops/${{ params.day }}.json', role: job}\n"
    sections, undecided, _ = parse(text, params={"day": "monday"})
    assert sections.state is not None
    assert (str(sections.state.location), sections.state.role) == ("s3://ops/monday.json", JOB)
    assert undecided == []


@pytest.mark.parametrize(
    ("text", "undecided"),
    [
        ("state: {location: 's3://ops/${{ params.day }}.json', role: job}\n", ["state"]),
        (
            f"notify: [{{on: [failed], sns: '{TOPIC}-${{{{ params.day }}}}', role: job}}]\n",
            ["notify"],
        ),
    ],
)
def test_what_depends_on_a_param_without_a_value(text: str, undecided: list[str]) -> None:
    _, found, mistakes = parse(text, undecided={"day"})
    assert (found, mistakes) == (undecided, [])


def test_a_state_that_is_no_mapping() -> None:
    sections, _, mistakes = parse("state: s3://ops/state.json\n")
    assert sections.state is None
    assert "'state' must be a mapping with 'location'" in mistakes


def test_a_role_that_is_not_declared() -> None:
    _, _, mistakes = parse("state: {location: s3://ops/state.json, role: writer}\n")
    assert mistakes == ["there is no role 'writer'"]
