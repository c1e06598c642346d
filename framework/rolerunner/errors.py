"""Every error that rolerunner raises on purpose.

::

    RolerunnerError                 exit status 1: never raised itself
    ├── UsageError                  2: the command line is wrong, nothing ran
    ├── SpecError                   2: the spec has mistakes; carries all of them
    ├── SandboxError                2: the embedded AWS could not be started or filled
    ├── StateHeld                   2: another run holds the run key
    ├── RolesRefused                3: roles were refused before any step ran
    └── StepError                   4: one step failed; becomes a value in the result
        ├── RoleRefused             STS refused AssumeRole
        ├── AccessDenied            a service refused the call
        ├── NotFound                no such bucket, object, or version
        ├── ServiceFailed           any other answer of AWS, or none at all
        ├── EmptySource             there was nothing to work on
        ├── UnsafeKey               an object key that would leave the target folder
        ├── LocalFileFailed         the local disk refused: full, forbidden, missing
        ├── IntegrityFailed         bytes arrived that are not the ones that were sent
        ├── FunctionFailed          the user's own function raised
        └── FieldError              a field's value, known only now, is wrong

A wrong spec is an exception that reaches the user; a failed step is caught by the runner and becomes a result.
"""

from __future__ import annotations

import copyreg
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file; line and column count from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One mistake of the user's: where, what, and what instead."""

    mark: Mark
    message: str
    hint: str = ""
    line: str = ""

    def __str__(self) -> str:
        return f"{self.mark}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class RolerunnerError(Exception):
    """The root of the tree; ``exit_status`` is what the command ends with."""

    exit_status = 1


class UsageError(RolerunnerError):
    """The command line asks for something that cannot be; nothing ran."""

    exit_status = 2


class SpecError(RolerunnerError):
    """The spec has mistakes: all of them, in the order of the file."""

    exit_status = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.mark))
        super().__init__("\n".join(map(str, self.problems)))


class SandboxError(RolerunnerError):
    """The embedded AWS could not be started or filled."""

    exit_status = 2


class StateHeld(RolerunnerError):
    """Another run holds the run key; nothing ran."""

    exit_status = 2


class StepError(RolerunnerError):
    """A step failed. ``type`` names the failure in the result file, ``hint`` says what to do."""

    exit_status = 4

    def __init__(self, message: str, *, hint: str = "", type: str = "") -> None:  # noqa: A002 - the result file's own word
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.type = type or self.__class__.__name__
        self.attempts = 1
        """How many tries it took to fail."""
        self.still_runs = False
        """True where the work could not be stopped and may still be running."""

    def __reduce__(self) -> tuple[Any, ...]:
        # an outcome comes back from another process with its error; the usual way would call __init__ with the message alone
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]  # typeshed leaves it out


class RoleRefused(StepError):
    """STS refused AssumeRole; the hint holds both statements that could be missing.

    ``asked_by`` is the ARN that asked, if known; ``through`` the role on the way to this one that was refused instead.
    """

    def __init__(
        self,
        message: str,
        *,
        role: str,
        hint: str = "",
        type: str = "",  # noqa: A002
        asked_by: str = "",
        through: str = "",
    ) -> None:
        super().__init__(message, hint=hint, type=type or "RoleRefused")
        self.role = role
        self.asked_by = asked_by
        self.through = through


class AccessDenied(StepError):
    """A service refused the call under the step's role."""


class NotFound(StepError):
    """No such bucket, object, or version."""


class ServiceFailed(StepError):
    """Any other error answer of AWS, or no answer."""


class EmptySource(StepError):
    """There was nothing to work on, and the spec does not say that this is fine."""


class UnsafeKey(StepError):
    """An object key that would leave the target folder, or cannot be a file name."""


class LocalFileFailed(StepError):
    """The local disk refused: it is full, the path is missing or forbidden."""


class IntegrityFailed(StepError):
    """The bytes that arrived are not the bytes that were sent."""


class FunctionFailed(StepError):
    """The user's own function raised, or could not be imported."""


class FieldError(StepError):
    """A field that depends on another step's output turned out to be wrong."""


class RolesRefused(RolerunnerError):
    """Roles were refused before the first step: all of them. ``ran_any``: steps for failures ran all the same."""

    exit_status = 3

    def __init__(self, refusals: Sequence[RoleRefused], *, ran_any: bool = False) -> None:
        self.refusals = tuple(refusals)
        self.ran_any = ran_any
        super().__init__("\n".join(refusal.message for refusal in self.refusals))

    @property
    def summary(self) -> str:
        """How many there are; an endpoint that cannot be reached, or that is not STS, has refused nothing."""
        count = len(self.refusals)
        refused = f"{'was' if count == 1 else 'were'} refused"
        verb = (
            "could not be assumed"
            if any(refusal.type in _NO_REFUSALS for refusal in self.refusals)
            else refused
        )
        return f"{count} {'role' if count == 1 else 'roles'} {verb}, {'only steps for failures ran' if self.ran_any else 'no step ran'}"


_NO_REFUSALS = frozenset(
    {
        "StsUnreachable",
        "NotSts",
        "NoCredentials",
        "ConnectTimeoutError",
        "ProxyConnectionError",
        "SSLError",
    }
)
