"""What the Glue entry script calls: arguments -> run -> return or raise.

On Spark even ``sys.exit(0)`` fails the job run, so success returns and failure raises; the exception's text becomes
the run's error. Python Shell shows only an exit code, so the reason is also the last line printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner import api
from rolerunner.errors import RolerunnerError, StepError, UsageError
from rolerunner.glue import spark_job
from rolerunner.glue.arguments import scan
from rolerunner.glue.runtime import detect
from rolerunner.observers.log import Log, standard_stream
from rolerunner.observers.result import ResultFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.events import Observer
    from rolerunner.model import RunResult


class JobFailed(Exception):
    """The job failed; the text says which step and why."""


def main(argv: Sequence[str]) -> RunResult:
    """Run the spec that ``--job_spec`` names, under the job's own role. Raises JobFailed with the reason."""
    try:
        return _run(argv)
    except RolerunnerError as error:
        # Python Shell shows nothing of an exception, so this line is where a person looks
        print(f"rolerunner: {error}", flush=True)  # noqa: T201
        raise JobFailed(str(error)) from None


def _run(argv: Sequence[str]) -> RunResult:
    given = scan(argv[1:])
    spec = given.ours.get("job_spec")
    if not spec:
        raise UsageError("say which spec to run: --job_spec s3://bucket/job.yaml")
    runtime = detect(argv[0] if argv else "", given.ours.get("runtime", ""))
    log = Log(standard_stream(), level=given.ours.get("log_level") or "info")
    observers: list[Observer] = [log]
    if given.ours.get("result"):
        observers.append(_result_file(given.ours["result"]))
    job = api.load(spec, given.params)
    result = spark_job.run(job, given.glue, runtime, lambda: api.run(job, observers=observers, run_key=given.ours.get("run_key", "")))
    if result.status not in ("succeeded", "warning"):
        raise _failure(result, runtime)
    return result


def _failure(result: RunResult, runtime: str) -> StepError:
    failed = next((step for step in result.steps if step.error is not None), None)
    reason = f"step '{failed.id}' failed: {failed.error.message}" if failed and failed.error else f"the run ended as {result.status}"
    return StepError(f"{result.job} ({runtime}): {reason}", hint=failed.error.hint if failed and failed.error else "")


def _result_file(target: str) -> ResultFile:
    if target.startswith("s3://"):
        return ResultFile(lambda data: api.write_s3(target, data))
    return ResultFile.at(Path(target))
