from __future__ import annotations

import pytest

from rolerunner.glue.arguments import scan
from rolerunner.glue.runtime import detect

# Recorded from a Python Shell run: Glue's own arguments stand in it, and an empty value has lost its token.
PYTHON_SHELL = [
    "--enable-metrics", "--continuous-log-logGroup", "/aws-glue/python-jobs", "--job_spec", "s3://b/job.yaml", "--comment",
    "--job-bookmark-option", "job-bookmark-disable", "--scriptLocation", "s3://b/run_spec.py", "--job-language", "python",
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
    found = scan(PYTHON_SHELL)
    assert found.ours == {"job_spec": "s3://b/job.yaml"}
    assert found.params == {"comment": "", "run_date": "2026-01-31"}


def test_a_spark_argument_list() -> None:
    found = scan(SPARK)
    assert found.ours == {"job_spec": "s3://b/job.yaml"}
    assert found.params == {"n": "3"}
    assert found.glue["JOB_NAME"] == "nightly"


def test_the_last_of_two_equal_names_counts() -> None:
    assert scan(["--x", "1", "--x", "2"]).params == {"x": "2"}


def test_names_are_exact_and_values_may_be_empty() -> None:
    assert scan(["--run_dat", "x", "--empty", "--also=", "--text=--x", "--n", "-3", "stray"]).params == {
        "run_dat": "x", "empty": "", "also": "", "text": "--x", "n": "-3"
    }  # fmt: skip


def test_an_option_for_pip_is_the_value_of_glues_own_argument() -> None:
    found = scan(["--python-modules-installer-option", "--no-index", "--run_date", "x"])
    assert (found.glue, found.params) == ({"python-modules-installer-option": "--no-index"}, {"run_date": "x"})
    found = scan(["--python-modules-installer-option", "--TempDir", "s3://b/"])
    assert found.glue == {"python-modules-installer-option": "", "TempDir": "s3://b/"}


def test_workflow_arguments_are_glues_own() -> None:
    found = scan(["--WORKFLOW_NAME", "w", "--WORKFLOW_RUN_ID", "wr_1", "--workflow_name", "mine"])
    assert (found.glue, found.params) == ({"WORKFLOW_NAME": "w", "WORKFLOW_RUN_ID": "wr_1"}, {"workflow_name": "mine"})


@pytest.mark.parametrize(
    ("script", "said", "environment", "runtime"),
    [
        ("/tmp/glue-python-scripts-ab12/run_spec.py", "", {}, "pythonshell"),
        ("/tmp/run_spec.py", "", {"GLUE_COMMAND_CRITERIA": "glueetl"}, "glueetl"),
        ("/tmp/run_spec.py", "", {"GLUE_INSTALLATION": "/glue"}, "pythonshell"),
        ("/home/x/run_spec.py", "", {}, "local"),
        ("/tmp/glue-python-scripts-ab12/run_spec.py", "local", {}, "local"),
    ],
)
def test_where_we_are(script: str, said: str, environment: dict[str, str], runtime: str) -> None:
    assert detect(script, said, environment) == runtime
