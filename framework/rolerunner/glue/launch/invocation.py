"""The arguments and variables that Glue gives an entry script.

Sources: AWS Glue developer guide (job parameters); lists of arguments that jobs have printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.launch.runtime import Runtime


def merge_arguments(
    default: Mapping[str, str], given: Mapping[str, str], fixed: Mapping[str, str]
) -> dict[str, str]:
    """Merges a job's DefaultArguments, a run's Arguments and a job's NonOverridableArguments."""
    return {**default, **given, **fixed}


def list_arguments(
    runtime: Runtime,
    name: str,
    script: str,
    arguments: Mapping[str, str],
    run_id: str = "jr_rehearsal",
) -> list[str]:
    """Returns the argument list that Glue gives to the script; an empty value loses its token.

    ``name`` is the job's, ``script`` the URI of the script.
    """
    job_id = f"j_{run_id.removeprefix('jr_')}"
    of_run = {"--JOB_NAME": name, "--JOB_ID": job_id, "--JOB_RUN_ID": run_id}
    of_glue = {
        "--job-bookmark-option": "job-bookmark-disable",
        "--scriptLocation": script,
        "--job-language": "python",
    }
    named = {**(of_run if runtime.is_spark else {}), **of_glue, **arguments}
    return [token for pair in named.items() for token in pair if token]


def build_environment(runtime: Runtime, installation: str) -> dict[str, str]:
    """Returns the variables by which a script knows its runtime.

    ``installation`` is the folder of what ``--extra-py-files`` brings to Python Shell.
    """
    if runtime.is_spark:
        return {"GLUE_COMMAND_CRITERIA": runtime.command}
    return {"GLUE_INSTALLATION": installation} if installation else {}
