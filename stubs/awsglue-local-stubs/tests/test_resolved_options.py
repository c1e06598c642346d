from __future__ import annotations

import pytest

from awsglue.utils import GlueArgumentError, getResolvedOptions

RESERVED = {
    "job_bookmark_option": "job-bookmark-disable",
    "job_bookmark_from": None,
    "job_bookmark_to": None,
    "JOB_ID": None,
    "JOB_RUN_ID": None,
    "SECURITY_CONFIGURATION": None,
    "encryption_type": None,
    "enable_data_lineage": None,
    "RedshiftTempDir": None,
    "TempDir": None,
}


def resolve(*arguments: str, options: tuple[str, ...] = (), **more: bool) -> dict[str, object]:
    return getResolvedOptions(["script.py", *arguments], options, **more)


def test_the_requested_arguments_and_the_reserved_ones_are_returned() -> None:
    found = resolve("--JOB_NAME", "orders", "--day", "2026-01-31", options=("JOB_NAME", "day"))
    assert found == {**RESERVED, "JOB_NAME": "orders", "day": "2026-01-31"}


def test_reserved_arguments_are_read_without_being_requested() -> None:
    found = resolve(
        "--job-bookmark-option",
        "job-bookmark-enable",
        "--JOB_RUN_ID",
        "jr_1",
        "--TempDir",
        "s3://t/",
    )
    assert found == {
        **RESERVED,
        "job_bookmark_option": "job-bookmark-enable",
        "JOB_RUN_ID": "jr_1",
        "TempDir": "s3://t/",
        "RedshiftTempDir": "s3://t/",
    }


@pytest.mark.parametrize(
    ("arguments", "options", "value"),
    [
        (["--a=1"], ("a",), "1"),
        (["--a", ""], ("a",), ""),
        (["--a", "1", "--a", "2"], ("a",), "2"),
        (["--a", "1", "--other", "x", "stray"], ("a",), "1"),
        (["--a", "--b c"], ("a",), "--b c"),
        (["--TempDir", "s3://t/"], ("TempDir",), "s3://t/"),
        (["--a", "1"], ("a", "a"), "1"),
    ],
)
def test_values_are_read(arguments: list[str], options: tuple[str, ...], value: str) -> None:
    assert resolve(*arguments, options=options)[options[0]] == value


def test_hyphens_become_underscores() -> None:
    assert resolve("--run-date", "x", options=("run-date",))["run_date"] == "x"


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([], ("a",), "the following arguments are required: --a"),
        (["--a"], ("a",), "argument --a: expected one argument"),
        (["--da", "x"], ("day",), "required: --day"),
        (["--JOB_RUN_ID", "x"], ("JOB_RUN_ID",), "JOB_RUN_ID: reserved"),
        ([], ("job-bookmark-option",), "job-bookmark-option: reserved"),
        (["--job-bookmark-option", "on"], (), "invalid choice: 'on'"),
        (["--job-bookmark-from", "a"], (), "are given together"),
        (["--job-bookmark-from", "a", "--job-bookmark-to", "b"], (), "job-bookmark-pause"),
    ],
)
def test_what_cannot_be_resolved_is_an_error(
    arguments: list[str], options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(GlueArgumentError, match=message):
        resolve(*arguments, options=options)


def test_a_paused_bookmark_has_a_range() -> None:
    found = resolve(
        *("--job-bookmark-option", "job-bookmark-pause"),
        *("--job-bookmark-from", "a", "--job-bookmark-to", "b"),
    )
    assert (found["job_bookmark_from"], found["job_bookmark_to"]) == ("a", "b")


def test_the_beginning_of_a_name_is_accepted_if_asked_for() -> None:
    assert resolve("--da", "x", options=("day",), allow_abbrev=True)["day"] == "x"
