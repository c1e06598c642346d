"""The sandbox and the arguments of a rehearsal: those of the deployed job."""

from __future__ import annotations

from pathlib import Path

from rolerunner import api
from rolerunner.glue.bundle.builder import Bundle
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal.rehearsal import (
    _add_artifacts,
    _complete_settings,
    _list_job_arguments,
)
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
PLAIN = """
version: 1
name: nightly
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
    settings = _complete_settings(job, runtime, WORLD)
    arguments = _list_job_arguments(job, settings, bundle, PLACE, {"day": "3", "stage": "dev"})
    assert arguments["--job_spec"] == f"{PLACE}spec/nightly.yaml"
    assert arguments["--extra-py-files"] == f"{PLACE}w.whl"
    assert (arguments["--day"], arguments["--stage"]) == ("3", "prod")
    assert (arguments["--aws_region"], arguments["--result"]) == (
        "eu-west-1",
        "s3://results-bucket/nightly/",
    )


def test_the_jobs_role_may_read_the_bundle_and_write_the_result(tmp_path: Path) -> None:
    settings = _complete_settings(load(tmp_path, SPEC), RUNTIMES["glue-5.1"], WORLD)
    world = _add_artifacts(WORLD, {f"{PLACE}a.txt": tmp_path / "a.txt"}, settings, PLACE)
    assert [(each.name, each.account) for each in world.buckets] == [
        ("ops-bucket", "222233334444"),
        ("results-bucket", "111122223333"),
    ]
    assert world.buckets[0].objects[0].key == "rolerunner/nightly/0123/a.txt"
    assert [(each["Action"], each["Resource"]) for each in world.roles[0].permissions] == [
        ("s3:GetObject", "arn:aws:s3:::ops-bucket/rolerunner/nightly/0123/*"),
        ("s3:PutObject", "arn:aws:s3:::results-bucket/nightly/*"),
    ]
    assert world.roles[1].permissions == []
    assert WORLD.buckets[0].objects == []


def test_a_spec_that_is_not_deployed_yet_can_be_rehearsed(tmp_path: Path) -> None:
    settings = _complete_settings(load(tmp_path, PLAIN), RUNTIMES["glue-6.0"], WORLD)
    assert (settings.role, settings.runtime) == (JOB_ROLE, "glue-6.0")
    assert str(settings.artifacts) == "s3://rolerunner-rehearsal/"
    place = "s3://rolerunner-rehearsal/nightly/0123/"
    world = _add_artifacts(WORLD, {f"{place}a.txt": tmp_path / "a.txt"}, settings, place)
    assert world.buckets[1].name == "rolerunner-rehearsal"
    assert len(world.roles[0].permissions) == 1
