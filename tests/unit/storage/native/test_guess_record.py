"""Guesses that found no keys are not made again where keys are alike."""

from __future__ import annotations

from rolerunner.storage.native.guess_record import GuessRecord


def test_a_character_that_no_keys_followed_twice_is_unlikely() -> None:
    record = GuessRecord()
    record.add_range("dt=2026-01-4", is_empty=True)
    assert record.is_likely("dt=2026-02-4")
    record.add_range("dt=2026-02-4", is_empty=True)
    assert not record.is_likely("dt=2026-03-4")
    assert record.is_likely("dt=2026-03-3")
    record.add_range("dt=2026-03-4", is_empty=False)
    assert record.is_likely("dt=2026-04-4")


def test_a_place_that_hardly_ever_has_keys_is_unlikely() -> None:
    record = GuessRecord()
    for character in "bcdefghi":
        assert record.is_likely("a/zz")
        record.add_range(f"a/z{character}", is_empty=True)
    assert not record.is_likely("a/zz")
    assert record.is_likely("a/z")


def test_a_good_guess_is_remembered() -> None:
    record = GuessRecord()
    for _ in range(100):
        record.add_range("a1", is_empty=False)
    for _ in range(4):
        assert record.is_likely("b1")
        record.add_range("b1", is_empty=True)
    assert not record.is_likely("c1")
