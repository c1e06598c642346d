"""Secrets that are written into a spec do not appear with the mistakes of their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from rolerunner import api
from rolerunner.cli.common import format_problem
from rolerunner.errors import SpecError
from rolerunner.redaction.redact import redact_text

if TYPE_CHECKING:
    from pathlib import Path

STEP = "steps: [{id: a, action: s3.list, role: job, source: 's3://in-in/'}]\n"


@pytest.mark.parametrize(
    "spec",
    [
        "params: {p: {type: integer, secret: true, default: SHOWN}}\n" + STEP,
        "params: {p: {secret: true, from: 'ssm:/x', role: job, default: SHOWN}}\n" + STEP,
        "params: {p: {secret: true, mni: 3, default: SHOWN}}\n" + STEP,
        "params: {p: {secret: true}}\nenvironments: {dev: {x: 1, params: {p: SHOWN}}}\n" + STEP,
        "params: {p: {secret: true}}\n"
        "environments: {dev: {params: {p: {defualt: x, default: SHOWN}}}}\n" + STEP,
        "steps: [{id: a, action: s3.read, source: 's3://in-in/', customer_key: SHOWN}]\n",
        "steps: [{id: a, action: s3.list, role: job, source_customer_key: SHOWN}]\n",
        "steps: [{id: g, for_each: [1], steps: [{id: a, action: s3.read, customer_key: SHOWN}]}]\n",
        "steps: [{id: a, action: sftp.download, password: SHOWN}]\n",
    ],
)  # fmt: skip
def test_no_mistake_shows_the_secret_of_its_line(spec: str, tmp_path: Path) -> None:
    secret = uuid4().hex  # each its own: a secret stays redacted in the process
    path = tmp_path / "job.yaml"
    path.write_text("version: 1\nname: t\n" + spec.replace("SHOWN", secret))
    with pytest.raises(SpecError) as caught:
        api.load(path, complete=False, env="dev" if "dev:" in spec else "")
    text = "\n".join(redact_text(format_problem(each)) for each in caught.value.problems)
    assert "job.yaml:" in text
    assert secret not in text


@pytest.mark.parametrize(
    "spec",
    [
        "params:\n  p: {secret: true, default: SHOWN x: y}\n" + STEP,
        "params:\n  p:\n    secret: true\n    default: SHOWN: x\n" + STEP,
        "steps:\n  - id: a\n    customer_key: SHOWN: x\n",
        "steps:\n  - {id: a, id: b, 'password': SHOWN}\n",
    ],
)
def test_no_mistake_of_yaml_shows_a_line_that_may_hold_a_secret(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("version: 1\nname: t\n" + spec.replace("SHOWN", "a-secret-of-no-use"))
    with pytest.raises(SpecError) as caught:
        api.load(path, complete=False)
    text = "\n".join(format_problem(each) for each in caught.value.problems)
    assert "job.yaml:" in text
    assert "a-secret-of-no-use" not in text
