"""A validated case of a test file."""

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
    env: str
    """Environment of the spec; empty without one."""
    job: Optional[Job]
    """None if the case expects invalid params."""
    world: World
    world_folder: Path
    folder: Path
    """Working folder; created when the case runs."""

    @property
    def id(self) -> str:
        """Returns a unique id: the file and the case's name."""
        return f"{self.mark.file}::{self.fields.name}"

    def arn(self, role: str) -> str:
        """Returns the ARN of an alias, of ``job`` or of an ARN itself."""
        if role == "job":
            return self.world.job_role
        return self.job.roles[role].arn if self.job is not None and role in self.job.roles else role

    def resolve_path(self, file: str) -> Path:
        """Returns the path of a file that the test file names."""
        return Path(self.mark.file).parent / file
