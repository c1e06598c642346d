"""Durations, sizes, suggestions and the characters of tags."""

from __future__ import annotations

import math

import pytest

from rolerunner.spec.values import (
    check_duration,
    check_tag_text,
    format_suggestion,
    parse_duration,
    parse_size,
    suggest_name,
)

CENTURY = 100 * 366 * 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("1.5s", 1.5),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86_400),
        ("1d2h3m4s", 93_784),
        (" 1H 30M ", 5400),
        (f"{CENTURY}s", CENTURY),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "1.5m", "1m1h", "-5s", "1w", "1s2", "٣s x"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 30s, 15m, 2h or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("seconds", [CENTURY + 1, -CENTURY - 1, math.inf, math.nan])
def test_a_duration_has_a_limit(seconds: float) -> None:
    with pytest.raises(ValueError, match="must be at most 100 years"):
        check_duration(seconds)
    assert check_duration(-CENTURY) == -CENTURY


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100", 100),
        ("100B", 100),
        ("1k", 1000),
        ("1 KB", 1000),
        ("1KiB", 1024),
        ("1.5MiB", 1_572_864),
        ("5GB", 5 * 10**9),
        ("1Ti", 1 << 40),
        ("2PB", 2 * 10**15),
        ("9" * 40, int(float("9" * 40))),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "B", "1iB", "-1", "1EB", "1..5", "1 K B", "1e3"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 16MiB, 5GB or 1000"):
        parse_size(text)


def test_a_size_has_at_most_forty_digits() -> None:
    with pytest.raises(ValueError, match=f"^'{'9' * 40}' has more than 40 digits$"):
        parse_size("9" * 41)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("suorce", "did you mean 'source'?"),
        ("SOURCE", "did you mean 'source'?"),
        ("target_rol", "did you mean 'target_role'?"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_suggested(wrong: str, hint: str) -> None:
    names = ["source", "target", "target_role"]
    assert suggest_name(wrong, iter(names)) == hint
    assert format_suggestion(wrong, names) == (f" ({hint})" if hint else "")
    assert suggest_name(wrong, []) == ""


def test_of_names_that_differ_in_case_the_first_is_suggested() -> None:
    assert suggest_name("abcd", ["ABCE", "abce"]) == "did you mean 'ABCE'?"


@pytest.mark.parametrize("text", ["", "aZ\xe9\u4e2d 9+-=._:/@", "\u0663"])
def test_characters_of_tags(text: str) -> None:
    check_tag_text(text, "the key")


@pytest.mark.parametrize("character", ["!", ",", "\n", "\t", "\U0001f600", "&", "*"])
def test_other_characters_are_in_no_tag(character: str) -> None:
    with pytest.raises(ValueError, match="as the key of a tag, not ") as caught:
        check_tag_text(f"a{character}b!", "the key")
    assert str(caught.value).endswith(repr(character))


def test_units_are_those_that_the_manual_lists() -> None:
    assert [parse_duration(each) for each in ("30s", "15m", "2h", "7d", "1h30m")] == [
        30, 900, 7200, 604_800, 5400
    ]  # fmt: skip
    assert [parse_size(each) for each in ("16MiB", "5GB", "1KiB", "1KB", "1GiB", "1MB")] == [
        16 << 20, 5 * 10**9, 1024, 1000, 1 << 30, 10**6
    ]  # fmt: skip
