"""Builds the command line and the environment that Glue gives an entry script.

Sources: AWS Glue developer guide (job parameters); lists of arguments that jobs have printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.launch.runtime import Runtime


@dataclass(frozen=True)
class Invocation:
    """A run of a Glue job, as its script sees it."""

    job_name: str
    run_id: str
    script_location: str
    arguments: Mapping[str, str]
    """The arguments of job and run, merged."""

    def argv(self, script: str, runtime: Runtime) -> list[str]:
        """Returns ``sys.argv`` of the script, whose local path is ``script``."""
        named = {
            **(self._spark_arguments() if runtime.is_spark else self._python_shell_arguments()),
            **self.arguments,
        }
        # Glue drops the token of an empty value
        tokens = (token for name, value in named.items() for token in (name, value) if token)
        return [script, *tokens]

    def _spark_arguments(self) -> dict[str, str]:
        return {
            "--JOB_NAME": self.job_name,
            "--JOB_ID": f"j_{self.run_id.removeprefix('jr_')}",
            "--JOB_RUN_ID": self.run_id,
        }

    def _python_shell_arguments(self) -> dict[str, str]:
        return {"--scriptLocation": self.script_location, "--job-language": "python"}


def merge_arguments(
    default: Mapping[str, str], given: Mapping[str, str], fixed: Mapping[str, str]
) -> dict[str, str]:
    """Merges a job's DefaultArguments, a run's Arguments and a job's NonOverridableArguments."""
    return {**default, **given, **fixed}


def build_environment(runtime: Runtime, installation: str) -> dict[str, str]:
    """Returns the variables by which a script knows its runtime.

    ``installation`` is the folder of what ``--extra-py-files`` brings to Python Shell.
    """
    if runtime.is_spark:
        return {"GLUE_COMMAND_CRITERIA": runtime.command}
    return {"GLUE_INSTALLATION": installation}
