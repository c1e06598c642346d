"""The sandbox and the arguments of a rehearsal: those of the deployed job."""

from __future__ import annotations

from pathlib import Path

from rolerunner import api
from rolerunner.glue.bundle.builder import Bundle
from rolerunner.glue.deploy.sandbox_world import complete_settings
from rolerunner.glue.deploy.settings import resolve_settings
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal.rehearsal import _list_job_arguments
from rolerunner.model import Job
from rolerunner.sandbox import World

JOB_ROLE = "arn:aws:iam::111122223333:role/job"
WORLD = World.model_validate(
    {
        "version": 1,
        "job_role": JOB_ROLE,
        "roles": [{"arn": JOB_ROLE}, {"arn": "arn:aws:iam::222233334444:role/other"}],
        "buckets": [{"name": "ops-bucket", "account": "222233334444"}],
    }
)
SPEC = """
version: 1
name: nightly
params: {stage: {type: string}, day: {type: string, default: "1"}}
glue:
  artifacts: s3://ops-bucket/rolerunner/
  result: s3://results-bucket/nightly/
  fixed_params: {stage: prod}
  params: {day: "2"}
steps: [{id: a, action: s3.list, role: job, source: "s3://ops-bucket/"}]
"""
PLACE = "s3://ops-bucket/rolerunner/nightly/0123/"


def load(folder: Path, text: str) -> Job:
    path = folder / "nightly.yaml"
    path.write_text(text)
    return api.load(str(path), complete=False)


def test_the_arguments_are_those_of_the_deployed_job(tmp_path: Path) -> None:
    job = load(tmp_path, SPEC)
    runtime = RUNTIMES["pythonshell"]
    bundle = Bundle(tmp_path, "spec/nightly.yaml", ("w.whl",), ("w.whl",), "0123")
    settings = complete_settings(
        resolve_settings(job, {"runtime": runtime.name}), JOB_ROLE, WORLD.region
    )
    arguments = _list_job_arguments(job, settings, bundle, PLACE, {"day": "3", "stage": "dev"})
    assert arguments["--job_spec"] == f"{PLACE}spec/nightly.yaml"
    assert arguments["--extra-py-files"] == f"{PLACE}w.whl"
    assert (arguments["--day"], arguments["--stage"]) == ("3", "prod")
    assert (arguments["--aws_region"], arguments["--result"]) == (
        "eu-west-1",
        "s3://results-bucket/nightly/",
    )
