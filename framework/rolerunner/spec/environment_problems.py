"""Compares the environments of a spec: mistakes that they share, and Glue jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rolerunner.model import RoleArn
from rolerunner.spec.environments import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolerunner.errors import Problem
    from rolerunner.model import GlueSettings, Job
    from rolerunner.spec.document import Document


def join_problems(
    own: Sequence[Problem], by_environment: Mapping[str, Sequence[Problem]]
) -> tuple[Problem, ...]:
    """Returns the problems of a spec and of its environments, each once.

    Those that the spec does not have by itself name their environments.
    """
    names: dict[Problem, list[str]] = {}
    for name, problems in by_environment.items():
        for problem in problems:
            if problem not in own:
                names.setdefault(problem, []).append(f"'{name}'")
    joined = [
        replace(problem, message=f"{_format_names(found)}: {problem.message}")
        for problem, found in names.items()
    ]
    return tuple(sorted((*own, *joined), key=lambda problem: problem.mark))


def _format_names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"in the environment {names[0]}"
    return f"in the environments {', '.join(names[:-1])} and {names[-1]}"


def find_shared_jobs(jobs: Mapping[str, Job], document: Document) -> Iterator[Problem]:
    """Yields environments that would overwrite each other's Glue job or artifacts."""
    named = [job for name, job in jobs.items() if name]
    for index, job in enumerate(named):
        other = next((each for each in named[:index] if shares_glue_job(each, job)), None)
        if other is not None:
            yield document.problem(
                (KEY, job.environment),
                f"the environments '{other.environment}' and '{job.environment}' have the same "
                f"Glue job",
                "set 'job_name' under 'glue' in one of them",
                key=True,
            )


def shares_glue_job(one: Job, other: Job) -> bool:
    """Returns True if two deployments are certain to have one Glue job or one place of artifacts.

    They may have the same job name in different accounts.
    """
    if one.glue is None or other.glue is None:
        return False
    if (one.glue.job_name or one.name) != (other.glue.job_name or other.name):
        return False
    if one.glue.artifacts is not None and one.glue.artifacts == other.glue.artifacts:
        return True
    account, region = _find_account(one.glue)
    return bool(account) and (account, region) == _find_account(other.glue)


def _find_account(settings: GlueSettings) -> tuple[str, str]:
    """Returns account and region of a Glue job; the account is empty if it is not known."""
    role = settings.role
    return RoleArn.parse(role).account if role.startswith("arn:") else "", settings.region
