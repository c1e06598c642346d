"""Names the writer of unfinished files, so that two runs never write into one."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rolerunner.actions.base import StepContext


class FileWriter:
    """The writer of the unfinished files of a step.

    It is another one for each run, unless the run keeps a state: then the next run of its key
    continues large files.
    """

    def __init__(self, context: StepContext) -> None:
        self._started = context.started_work
        self.of_small = uuid.uuid4().hex
        """The writer of files that are always written from their beginning."""

    @property
    def is_continued(self) -> bool:
        """True if a later run continues what this one leaves unfinished."""
        return self._started is not None and self._started.is_kept

    @cached_property
    def of_large(self) -> str:
        """The writer of large files. Raises StepError if the state cannot be written."""
        if self._started is None:
            return self.of_small
        writer = self._started.read(same_inputs=False)
        if not writer:
            writer = self.of_small
            self._started.write(writer, same_inputs=False)
        return writer
