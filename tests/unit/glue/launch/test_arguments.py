"""Tests the scanner of the arguments that Glue passes."""

from __future__ import annotations

import random

import pytest

from rolerunner.glue.launch.arguments import parse_arguments
from rolerunner.glue.launch.invocation import list_arguments
from rolerunner.glue.launch.runtime import RUNTIMES

# Recorded from a Python Shell run, with the arguments of Glue itself and without an empty value.
PYTHON_SHELL = [
    "--enable-metrics", "--continuous-log-logGroup", "/aws-glue/python-jobs", "--job_spec",
    "s3://b/job.yaml", "--comment",
    "--job-bookmark-option", "job-bookmark-disable", "--scriptLocation", "s3://b/run_spec.py",
    "--job-language", "python",
    "--run_date", "2026-01-31", "--TempDir", "s3://b/tmp/",
]  # fmt: skip
SPARK = [
    "--JOB_NAME",
    "nightly",
    "--JOB_ID",
    "j_1",
    "--JOB_RUN_ID",
    "jr_" + "0" * 64,
    "--job_spec=s3://b/job.yaml",
    "--n",
    "3",
    "--WORKFLOW_NAME",
    "w",
]


def test_a_python_shell_argument_list() -> None:
    found = parse_arguments(PYTHON_SHELL)
    assert found.ours == {"job_spec": "s3://b/job.yaml"}
    assert found.params == {"comment": "", "run_date": "2026-01-31"}


def test_a_spark_argument_list() -> None:
    found = parse_arguments(SPARK)
    assert found.ours == {"job_spec": "s3://b/job.yaml"}
    assert found.params == {"n": "3"}
    assert found.glue["JOB_NAME"] == "nightly"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--x", "1", "--x", "2"], "--x is given more than once"),
        (["--x=1", "--x", "1"], "--x is given more than once"),
        (["--x=1", "--y", "2", "--x=2"], "--x is given more than once"),
        (
            ["--run_date", "1", "--run-date", "2"],
            "--run_date and --run-date is given more than once",
        ),
        (["--job_spec", "s3://b/a", "--job_spec=s3://b/a"], "--job_spec is given more than once"),
        (
            ["--job_spec", "s3://b/a", "--job-spec", "s3://b/b"],
            "--job_spec and --job-spec is given more than once",
        ),
        (["--job-spec", "s3://b/a"], "there is no argument --job-spec: write --job_spec"),
        (["--run-key=x"], "there is no argument --run-key: write --run_key"),
    ],
)
def test_a_name_is_given_once_and_in_its_own_spelling(arguments: list[str], named: str) -> None:
    scanned = parse_arguments([*arguments, "--kept", "1"])
    assert len(scanned.problems) == 1
    assert named in scanned.problems[0]


@pytest.mark.parametrize(
    "name", ["job_spec", "result", "run_key", "log_level", "n", "TempDir", "JOB_NAME"]
)
@pytest.mark.parametrize("before", [[], ["--JOB_NAME", "x"], ["--enable-metrics"]])
@pytest.mark.parametrize(
    "after", [[], ["--n2", "3"], ["--enable-metrics", "--n2", "3"], ["--TempDir", "s3://b/"]]
)
def test_no_value_becomes_an_argument(name: str, before: list[str], after: list[str]) -> None:
    """Glue passes a mapping: each value stands behind its name, whatever it is."""
    own = [
        "--job_spec",
        "s3://ops/nightly.yaml",
        "--result",
        "s3://ops/results/",
        "--run_key",
        "k",
        "--log_level",
        "info",
        "--n",
        "1",
    ]
    for value in (f"--{name}=other", f"--{name}"):
        scanned = parse_arguments([*before, *own, "--file_name", value, *after])
        assert scanned.problems or (scanned.params["file_name"], scanned.ours["job_spec"]) == (
            "",
            "s3://ops/nightly.yaml",
        )
        assert scanned.ours.get(name, "") in (
            "",
            "s3://ops/nightly.yaml",
            "s3://ops/results/",
            "k",
            "info",
        )
        assert scanned.params.get("n", "1") == "1"
        assert scanned.problems
        alone = parse_arguments(
            ["--job_spec", "s3://ops/nightly.yaml", "--file_name", value, *after]
        )
        assert "other" not in {**alone.ours, **alone.params}.values()
        assert name == "job_spec" or name not in {**alone.ours, **alone.params}


def test_empty_values_of_glues_own_arguments_are_no_doubt() -> None:
    scanned = parse_arguments(
        [
            "--enable-metrics",
            "--enable-job-insights",
            "--comment",
            "--enable-spark-ui",
            "--job_spec",
            "s3://b/j",
            "--note",
        ]
    )
    assert scanned.problems == ()
    assert (scanned.ours, scanned.params) == ({"job_spec": "s3://b/j"}, {"comment": "", "note": ""})


def test_text_that_is_no_argument_is_a_value() -> None:
    scanned = parse_arguments(
        ["--a", "--b c", "--d", "--", "--e", "--5", "--f", "---", "--g", "--x y=z"]
    )
    assert (scanned.problems, scanned.params) == (
        (),
        {"a": "--b c", "d": "--", "e": "--5", "f": "---", "g": "--x y=z"},
    )


def test_a_name_that_glue_gives_twice_is_no_problem_of_ours() -> None:
    scanned = parse_arguments(["--JOB_NAME", "x", "--n", "3", "--JOB_NAME"])
    assert (scanned.problems, scanned.glue) == ((), {"JOB_NAME": "x"})
    assert parse_arguments(["--TempDir", "s3://b/", "--TempDir=s3://b/"]).problems == ()


def test_an_argument_of_glue_with_two_values_is_refused() -> None:
    scanned = parse_arguments(["--TempDir", "s3://b/", "--n", "1", "--TempDir=s3://other/"])
    assert scanned.problems == ("the argument --TempDir is given more than once: set it once",)


def test_names_are_exact_and_values_may_be_empty() -> None:
    words = ["--run_dat", "x", "--also=", "--text=--x", "--empty", "--n", "-3", "stray"]
    assert parse_arguments(words).params == {
        "run_dat": "x",
        "empty": "",
        "also": "",
        "text": "--x",
        "n": "-3",
    }


def test_an_option_for_pip_is_the_value_of_glues_own_argument() -> None:
    found = parse_arguments(["--python-modules-installer-option", "--no-index", "--run_date", "x"])
    assert (found.glue, found.params) == (
        {"python-modules-installer-option": "--no-index"},
        {"run_date": "x"},
    )
    found = parse_arguments(["--python-modules-installer-option", "--TempDir", "s3://b/"])
    assert found.glue == {"python-modules-installer-option": "", "TempDir": "s3://b/"}


def test_the_library_set_has_no_dashes_and_never_becomes_a_value() -> None:
    for name in ("library-set", "--library-set"):
        scanned = parse_arguments(["--comment", name, "analytics", "--n", "1"])
        assert scanned.problems == ()
        assert (scanned.glue, scanned.params) == (
            {"library-set": "analytics"},
            {"comment": "", "n": "1"},
        )
    scanned = parse_arguments(["--comment", "x", "library-set", "none", "--job_spec", "s3://b/j"])
    assert (scanned.glue, scanned.params, scanned.ours) == (
        {"library-set": "none"},
        {"comment": "x"},
        {"job_spec": "s3://b/j"},
    )
    assert parse_arguments(["--comment", "library-set", "--n", "1"]).params == {
        "comment": "library-set",
        "n": "1",
    }


@pytest.mark.parametrize(
    "name", ["custom-logGroup-prefix", "custom-logStream-prefix", "python-virtual-env"]
)
def test_documented_arguments_of_glue_are_glues(name: str) -> None:
    scanned = parse_arguments([f"--{name}", "x", "--n", "1"])
    assert (scanned.glue, scanned.params) == ({name: "x"}, {"n": "1"})


_TRICKS = (
    "--run-date", "--run_dat", "--RUN_DATE", "--run_date=2", "--run-date=2", "--run_date ",
    "-run_date", "run_date", "--", "--run_date\n", "--\uff52un_date", "--job-spec", "--job_spec=s3://x/y",
    "--job_spe", "job_spec", "--note", "--text", "--python-modules-installer-option",
    "--enable-metrics", "--TempDir", "library-set", "--library-set", "analytics", "-p", "@x", "",
    "--conf", "--JOB_NAME",
)  # fmt: skip
_TRICK_VALUES = (
    "", "", "--run_date", "--run_date=2", "--run-date", "--run-date=2", "--job_spec",
    "--job_spec=s3://x/y", "--job_spec=s3://x/y z", "--job_spec s3://x/y", "--", "library-set",
    "analytics", "--no-index", "2", "x --run_date 2", "--note", "--enable-metrics",
)  # fmt: skip


def test_no_run_replaces_a_fixed_argument() -> None:
    """Glue passes a mapping in any order; a run adds any names but those of fixed arguments."""
    chance = random.Random(16)
    fixed = {"--job_spec": "s3://ops/nightly.yaml", "--run_date": "2026-01-31"}
    refused = 0
    for _ in range(20_000):
        added = {chance.choice(_TRICKS): chance.choice(_TRICK_VALUES) for _ in range(2)}
        pairs = list({**added, **fixed}.items())
        chance.shuffle(pairs)
        runtime = RUNTIMES[chance.choice(["pythonshell", "glue-5.1"])]
        argv = list_arguments(runtime, "nightly", "s3://ops/run_spec.py", dict(pairs))
        scanned = parse_arguments(argv)
        refused += bool(scanned.problems)
        if not scanned.problems:
            assert scanned.ours["job_spec"] == "s3://ops/nightly.yaml", argv
            assert scanned.params["run_date"] == "2026-01-31", argv
    assert 5_000 < refused < 17_000


def test_workflow_arguments_are_glues_own() -> None:
    found = parse_arguments(
        ["--WORKFLOW_NAME", "w", "--WORKFLOW_RUN_ID", "wr_1", "--workflow_name", "mine"]
    )
    assert (found.glue, found.params) == (
        {"WORKFLOW_NAME": "w", "WORKFLOW_RUN_ID": "wr_1"},
        {"workflow_name": "mine"},
    )
