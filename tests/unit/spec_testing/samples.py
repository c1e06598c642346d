"""A spec with a sandbox and a test file, written and loaded for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.errors import SpecError
from rolerunner.spec_testing.load import load_cases

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.spec_testing.case import Case

JOB = "arn:aws:iam::111122223333:role/glue"
READER = "arn:aws:iam::444455556666:role/team/reader"
SPEC = f"""\
version: 1
name: nightly
params: {{day: {{type: date, default: 2026-01-01}}}}
roles: {{reader: "{READER}"}}
steps:
  - {{id: find, action: s3.list, role: reader, source: "s3://landing/in/"}}
"""
SANDBOX = f"""\
version: 1
job_role: {JOB}
roles: [{{arn: "{JOB}"}}, {{arn: "{READER}"}}]
buckets:
  - name: landing
    account: "444455556666"
    objects: [{{key: in/a, text: x}}, {{key: in/b, text: y}}, {{key: inx, text: z}}]
"""
HEAD = "version: 1\ncases:\n"


def load(folder: Path, cases: str, head: str = HEAD) -> list[Case]:
    """Loads the cases of a test file beside the spec and its sandbox. Raises SpecError."""
    for name, text in (("job.yaml", SPEC), ("job.sandbox.yaml", SANDBOX)):
        path = folder / name
        if not path.exists():
            path.write_text(text)
    path = folder / "job.test.yaml"
    path.write_text(head + cases)
    return load_cases([path], folder / "cases")


def problems(folder: Path, cases: str, head: str = HEAD) -> list[str]:
    """Returns the mistakes of a test file, each as line:column: message (hint)."""
    try:
        load(folder, cases, head)
    except SpecError as error:
        return [
            f"{each.mark.line}:{each.mark.column}: {each.message}"
            + (f" ({each.hint})" if each.hint else "")
            for each in error.problems
        ]
    return []
