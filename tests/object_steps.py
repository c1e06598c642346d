"""Runs single steps on two buckets of two accounts, each with a role that may use it alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rolerunner import api
from tests.conftest import identity_of

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.model import StepResult
    from rolerunner.sandbox import Sandbox

HERE, THERE = "111122223333", "444455556666"
OURS, THEIRS = f"arn:aws:iam::{HERE}:role/ours", f"arn:aws:iam::{THERE}:role/theirs"
_TRUST = (
    f'[{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{HERE}:role/job"}}, '
    "Action: sts:AssumeRole}]"
)


def _role(arn: str, *buckets: str) -> str:
    resources = [f"arn:aws:s3:::{bucket}{end}" for bucket in buckets for end in ("", "/*")]
    return (
        f"  - {{arn: '{arn}', trust: {_TRUST}, permissions: "
        f"[{{Effect: Allow, Action: 's3:*', Resource: {json.dumps(resources)}}}]}}\n"
    )


WORLD = f"""
version: 1
job_role: arn:aws:iam::{HERE}:role/job
roles:
  - arn: arn:aws:iam::{HERE}:role/job
    permissions: [{{Effect: Allow, Action: ["sts:AssumeRole"], Resource: "*"}}]
{_role(OURS, "ours", "kept")}{_role(THEIRS, "theirs")}
buckets:
  - {{name: ours, account: "{HERE}"}}
  - {{name: kept, account: "{HERE}", versioning: true}}
  - {{name: theirs, account: "{THERE}"}}
"""
"""Role ``ours`` uses the buckets ours and kept, role ``theirs`` the bucket theirs."""


def write_spec(folder: Path, *steps: dict[str, Any], engine: str = "fast") -> Path:
    """Writes a spec with the steps, each under the role ``ours`` unless it names roles."""
    path = folder / "job.yaml"
    named = [
        step if any(name.endswith("role") for name in step) else {"role": "ours", **step}
        for step in steps
    ]
    spec = {
        "version": 1,
        "name": "t",
        "engine": engine,
        "roles": {"ours": OURS, "theirs": THEIRS},
        "steps": [{"id": f"step_{number}", **step} for number, step in enumerate(named)],
    }
    path.write_text(json.dumps(spec))  # JSON is YAML
    return path


def run_steps(
    aws: Sandbox, folder: Path, *steps: dict[str, Any], engine: str = "fast"
) -> list[StepResult]:
    """Runs the steps and returns their results."""
    path = write_spec(folder, *steps, engine=engine)
    return list(api.run(api.load(path), identity=identity_of(aws)).steps)


def run_step(
    aws: Sandbox, folder: Path, action: str, /, *, engine: str = "fast", **fields: Any
) -> StepResult:
    """Runs one step and returns its result."""
    return run_steps(aws, folder, {"action": action, **fields}, engine=engine)[-1]


def survey_step(aws: Sandbox, folder: Path, action: str, /, **fields: Any) -> Any:
    """Returns what ``plan --live`` says of one step."""
    path = write_spec(folder, {"action": action, **fields})
    return api.survey(api.plan(api.load(path)), identity=identity_of(aws))["step_0"]
