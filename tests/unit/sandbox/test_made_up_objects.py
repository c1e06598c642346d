"""Sample objects of a sandbox without a file: how many, their names and their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions import registry
from rolerunner.model import S3Uri
from rolerunner.plan.planning import make_plan
from rolerunner.sandbox.made_up_objects import _make_name, make_up_objects
from rolerunner.sandbox.world import SandboxObject
from rolerunner.spec.loader import load_spec

HEAD = "version: 1\nname: t\nsteps:\n"


def make_up(*steps: str, puts: dict[S3Uri, Path] | None = None) -> dict[str, SandboxObject]:
    text = HEAD + "".join(f"  - {{id: s{n}, {step}}}\n" for n, step in enumerate(steps))
    job = load_spec(text, "t.yaml", registry(), {})
    made = make_up_objects(make_plan(job, registry()), registry(), puts or {})
    return {str(uri): body for uri, body in made}


def find(more: str = "", source: str = "s3://box/in/") -> str:
    return f"action: s3.list, role: job, source: '{source}'{more}"


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("", "sample.txt"),
        ("**/*.csv.gz", "sample.csv.gz"),
        ("**", "sample"),
        ("*.{csv,txt}", "sample.csv"),
        ("a-?.[cd]sv", "a-x.csv"),
        ("*-*.csv", "sample-.csv"),
    ],
)
def test_a_name_that_a_glob_matches(glob: str, name: str) -> None:
    assert _make_name(glob, 0) == name


def test_a_source_is_not_empty() -> None:
    assert list(make_up(find())) == ["s3://box/in/sample.txt"]
    assert list(make_up(find(source="s3://box/a.json"))) == ["s3://box/a.json"]


def test_what_an_earlier_step_writes_is_not_made_up() -> None:
    copy = "action: s3.copy, role: job, source: s3://from/x/, target: s3://box/in/"
    assert list(make_up(copy, find())) == ["s3://from/x/sample.txt"]


def test_a_given_object_is_enough_if_the_step_selects_it() -> None:
    step = find(", include: ['*.csv']")
    assert make_up(step, puts={S3Uri("box", "in/a.csv"): Path("a")}) == {}
    assert list(make_up(step, puts={S3Uri("box", "in/a.txt"): Path("a")})) == [
        "s3://box/in/sample.csv"
    ]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("*.csv", {"text": "sample\n"}),
        ("*.json", {"text": '{"sample": true}\n'}),
        ("*.csv.gz", {"gzip": "sample\n"}),
    ],
)
def test_the_content_fits_the_name(name: str, fields: dict[str, Any]) -> None:
    (body,) = make_up(find(f", include: ['{name}']")).values()
    assert {each: getattr(body, each) for each in fields} == fields


def test_sizes_and_numbers_that_a_step_waits_for() -> None:
    (body,) = make_up(find(", min_size: 5GB")).values()
    assert body.size == 1 << 20
    wait = "action: s3.wait, role: job, source: s3://box/in/, min_count: 3"
    assert list(make_up(wait)) == [
        "s3://box/in/sample.txt",
        "s3://box/in/sample1.txt",
        "s3://box/in/sample2.txt",
    ]
