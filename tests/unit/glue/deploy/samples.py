"""A Glue job to deploy, for Python Shell and for Spark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rolerunner.glue.bundle.builder import Bundle
from rolerunner.glue.deploy.settings import JobDefinition, define_job
from rolerunner.model import GlueSettings, Job, S3Uri

PLACE = "s3://ops/rolerunner/nightly/0123456789abcdef/"
SETTINGS = GlueSettings(
    role="arn:aws:iam::111122223333:role/glue", artifacts=S3Uri("ops", "rolerunner/"),
    capacity=0.0625, params={"country": "nz"},
    fixed_params={"quoted": 'a "b" ${c} %{d}\n'}, tags={"team": "orders"}, connections=("vpc",),
    security_configuration="sealed",
)  # fmt: skip
JOB_SPEC = Job("nightly", (), description="Counts.", glue=SETTINGS)
BUNDLE = Bundle(
    Path(),
    "spec/nightly.yaml",
    ("wheels/a.whl",),
    (),
    "0123456789abcdef",
)
SPARK = replace(SETTINGS, runtime="glue-5.1", capacity=None, worker_type="G.2X", workers=4)


def make_definition(settings: GlueSettings = SETTINGS) -> JobDefinition:
    return define_job(replace(JOB_SPEC, glue=settings), settings, BUNDLE, PLACE, "eu-west-1")
