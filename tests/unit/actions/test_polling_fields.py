"""Fields of actions that wait for a service."""

from __future__ import annotations

from rolerunner.actions.polling_fields import (
    growing_interval_field,
    interval_field,
    max_wait_field,
)


def test_descriptions_say_what_is_waited_for() -> None:
    described = [
        interval_field(30.0, "two listings", example="1m"),
        growing_interval_field(10.0, "the query"),
        max_wait_field(60.0, then="the query is cancelled"),
    ]
    assert [(each.default, each.description, each.examples) for each in described] == [
        (30.0, "Time between two listings, plus or minus 20 percent.", ["1m"]),
        (
            10.0,
            "Longest time between two looks at the query, plus or minus 20 percent.",
            ["30s"],
        ),
        (60.0, "Maximum time to wait; then the query is cancelled.", ["2h"]),
    ]
