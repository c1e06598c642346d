"""A case of a test file, checked and ready to be run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.errors import Mark
    from rolerunner.model import Job
    from rolerunner.sandbox import World
    from rolerunner.spec_testing.casefile import CaseFields


@dataclass(frozen=True)
class Case:
    """A case that can be run."""

    mark: Mark
    fields: CaseFields
    params: Mapping[str, Any]
    spec: Path
    job: Optional[Job]
    """None where the case expects that its params are wrong."""
    world: World
    world_folder: Path
    folder: Path
    """Where it runs; made when it does."""

    @property
    def id(self) -> str:
        """What names it among all: the file and its own name."""
        return f"{self.mark.file}::{self.fields.name}"

    def arn(self, role: str) -> str:
        """The ARN of an alias, an ARN, or job."""
        if role == "job":
            return self.world.job_role
        return self.job.roles[role].arn if self.job is not None and role in self.job.roles else role

    def near(self, file: str) -> Path:
        """A file that the test file names."""
        return Path(self.mark.file).parent / file
