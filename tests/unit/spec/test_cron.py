from __future__ import annotations

import pytest

from rolerunner.spec.cron import parse_cron


@pytest.mark.parametrize(
    "text",
    [
        "cron(0 3 * * ? *)",
        "cron(15 12 ? * MON-FRI *)",
        "cron(0/15 8-18 ? * 2-6 2026-2030)",
        "cron(0 8 1 * ? *)",
        "cron(0 8 L * ? *)",
        "cron(0 8 LW JAN,JUL ? *)",
        "cron(0 8 15W * ? *)",
        "cron(0 8 ? * 6L *)",
        "cron(0 8 ? * FRIL *)",
        "cron(*/5 * * * ? *)",
        "cron(5,10,59 3 * * ? *)",
        "cron(58 0/2 * * ? *)",
        "cron(2,58 3 * * ? *)",
        "cron(0 0 29 2 ? 2199)",
    ],
)
def test_an_expression_of_glue_is_taken_as_it_is(text: str) -> None:
    assert parse_cron(text) == text


def test_spaces_and_small_letters_are_made_usual() -> None:
    assert parse_cron("cron( 0  3 ? * mon-fri  * )") == "cron(0 3 ? * MON-FRI *)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate(1 day)", "triggers of Glue take no rate()"),
        ("0 3 * * *", "must be written cron(0 3 * * ? *)"),
        ("0 3 1 * *", "must be written cron(0 3 1 * ? *)"),
        ("0 3 * * 1", "must be an expression such as cron(0 3 * * ? *), not '0 3 * * 1'"),
        ("every day", "must be an expression such as"),
        ("", "must be an expression such as"),
        ("CRON(0 3 * * ? *)", "must be an expression such as"),
        ("cron(0 3 * * ? *", "must be an expression such as"),
        (f"cron({'0,' * 200}0 3 * * ? *)", "must be an expression such as"),
        ("cron()", "must have six fields"),
        ("cron(0 3 * * ?)", "day-of-week year, not 5"),
        ("cron(0 0 3 * * ? *)", "not 7"),
        ("cron(0 3 * * * *)", "must have '?' as day-of-month or as day-of-week"),
        ("cron(0 3 1 * MON *)", "must have '?' as day-of-month or as day-of-week"),
        ("cron(0 3 ? * ? *)", "not as both"),
        ("cron(60 3 * * ? *)", "must have minutes from 0 to 59, not 60"),
        ("cron(0 24 * * ? *)", "must have hours from 0 to 23, not 24"),
        ("cron(0 3 0 * ? *)", "must have day-of-month from 1 to 31, not 0"),
        ("cron(0 3 * 13 ? *)", "must have month from 1 to 12, not 13"),
        ("cron(0 3 ? * 0 *)", "must have day-of-week from 1 to 7, not 0"),
        ("cron(0 3 ? * 8 *)", "must have day-of-week from 1 to 7, not 8"),
        ("cron(0 3 * * ? 1969)", "must have year from 1970 to 2199, not 1969"),
        ("cron(0 3 * MO ? *)", "has 'MO' in month, which takes 1 to 12 or JAN to DEC"),
        ("cron(0 3 ? * MON#2 *)", "has 'MON#2' in day-of-week"),
        ("cron(0 3 ? * 1W *)", "has '1W' in day-of-week"),
        ("cron(L 3 * * ? *)", "has 'L' in minutes"),
        ("cron(? 3 * * ? *)", "has '?' in minutes"),
        ("cron(0 3 32W * ? *)", "has '32W' in day-of-month"),
        ("cron(0 22-2 * * ? *)", "has the range '22-2' in hours, which runs backwards"),
        ("cron(0 */0 * * ? *)", "has the step '0' in hours"),
        ("cron(0 */x * * ? *)", "has the step 'X' in hours"),
        ("cron(0 3, * * ? *)", "has '' in hours"),
        ("cron(0 -3 * * ? *)", "has '-3' in hours"),
        ("cron(\u0663 3 * * ? *)", "has '\u0663' in minutes"),
        ("cron(* * * * ? *)", "starts runs 1 min apart with the minutes '*'"),
        ("cron(0/3 3 * * ? *)", "starts runs 3 min apart"),
        ("cron(0,4 3 * * ? *)", "starts runs 4 min apart"),
        ("cron(2,58 * * * ? *)", "starts runs 4 min apart"),
        ("cron(2,58 23,0 * * ? *)", "starts runs 4 min apart"),
    ],
)
def test_a_wrong_expression_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|has|starts)") as caught:
        parse_cron(text)
    assert message in str(caught.value)
