from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.errors import Mark, SpecError
from rolerunner.spec.yaml_parser import MAX_BYTES, parse_document


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_document(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
        ("~", None),
        ("'1'", "1"),
        ("no", "no"),
        ("on", "on"),
        ("0777", "0777"),
        ("012345670123", "012345670123"),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("9" * 50, "9" * 50),
    ],
)
def test_scalars_come_out_as_people_mean_them(text: str, value: object) -> None:
    data = parse_document(f"key: {text}\n", "f.yaml").data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_every_value_and_key_has_its_place() -> None:
    document = parse_document("name: x\nsteps:\n  - id: a\n    source: s3://b/\n", "f.yaml")
    assert document.mark(("steps", 0, "source")) == Mark("f.yaml", 4, 13)
    assert document.mark(("steps", 0, "source"), key=True) == Mark("f.yaml", 4, 5)
    assert document.mark(("steps", 0, "nothing")) == Mark("f.yaml", 3, 5), (
        "the nearest value around it"
    )


def test_merge_keys_and_anchors_work() -> None:
    document = parse_document("base: &b {a: 1, b: 2}\nx: {<<: *b, b: 3}\ny: *b\n", "f.yaml")
    assert document.data["x"] == {"a": 1, "b": 3}
    assert document.data["y"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: duplicate key 'a' (the first is on line 1)"),
        (
            "a: !!python/object:os.system x\n",
            (
                "f.yaml:1:4: the tag 'tag:yaml.org,2002:python/object:os.system' is not allowed (a "
                "spec can contain plain values only)"
            ),
        ),
        ("", "f.yaml:1:1: the file is empty (start the spec with 'version: 1')"),
        (
            "# only this\n",
            "f.yaml:1:1: the file contains only comments (start the spec with 'version: 1')",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "f.yaml:2:1: a second YAML document starts here (a file can contain one document only)",
        ),
        ("a: *b\n", "f.yaml:1:4: the alias *b has no anchor &b before it"),
        (
            "a: b: c\n",
            (
                "f.yaml:1:5: not YAML: mapping values are not allowed in this context (put a value "
                "that contains ': ' in quotes, or check the indentation)"
            ),
        ),
        (
            "? [a]\n: b\n",
            (
                "f.yaml:1:3: a key must be plain text (put a value that begins with '{', '[' or "
                "'${{' in quotes)"
            ),
        ),
        ("[" * 50, "f.yaml:1:41: nested deeper than 40 levels"),
        ("a: \x00\n", "f.yaml:1:4: not YAML: the character U+0000 is not allowed"),
    ],
)
def test_each_mistake_has_a_place_and_a_remedy(text: str, message: str) -> None:
    assert mistakes(text) == [message]


def test_several_mistakes_are_told_together() -> None:
    assert len(mistakes("a: 1\na: 2\nb: !x 1\nc: 3\nc: 4\n")) == 3


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
    )
    assert "after alias expansion" in mistakes(bomb)[0]


def test_a_file_that_is_too_large_is_refused() -> None:
    assert "larger than 1 MiB" in mistakes("a: " + "x" * MAX_BYTES)[0]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%#,? \n\t<$0~\x85\u2028é"), max_size=60))
def test_no_text_makes_the_reader_crash(text: str) -> None:
    try:
        parse_document(text, "f.yaml")
    except SpecError as error:
        assert error.problems
