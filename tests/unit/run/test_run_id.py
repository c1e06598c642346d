"""Ids of runs."""

from __future__ import annotations

import re

from rolerunner.run.run_id import create_run_id


def test_an_id_is_the_start_time_and_random_characters() -> None:
    first, second = create_run_id(), create_run_id()
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", first)
    assert first != second
