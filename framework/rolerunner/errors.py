"""All errors that rolerunner raises.

::

    RolerunnerError                 exit status 1: base class
    ├── UsageError                  2: the command line is wrong, nothing ran
    ├── SpecError                   2: the spec has mistakes; with all of them
    ├── SandboxError                2: the embedded AWS could not be started or filled
    ├── StateHeld                   2: another run holds the run key
    ├── RolesRefused                3: roles were refused before any step ran
    ├── SecretsFailed               4: secret params could not be fetched before any step ran
    └── StepError                   4: one step failed; becomes a value in the result
        ├── RoleRefused             STS refused AssumeRole
        ├── AccessDenied            a service refused the call
        ├── NotFound                no such bucket, object, or version
        ├── ServiceFailed           any other error of AWS, or no response
        │   └── UnexpectedResponse  a response that the service does not give
        ├── EmptySource             there was nothing to work on
        ├── UnsafeKey               an object key that would leave the target folder
        ├── LocalFileFailed         the local disk failed: full, forbidden, missing
        ├── IntegrityFailed         the bytes received are not those that were sent
        ├── FunctionFailed          the user's own function raised
        └── FieldError              a field's value, known only at run time, is wrong

A wrong spec raises; a failed step is caught by the runner and becomes part of the result.
"""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any

from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence


_UNEXPECTED = (
    "repeat the step; if that does not help, find out what answers in the service's place: a proxy,"
    " or a server that is not AWS's"
)


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file. Lines and columns count from 1."""

    file: str
    """The file's path, or its ``s3://`` location."""
    line: int
    """The line."""
    column: int
    """The column."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One mistake in a spec: where, what, and what instead."""

    mark: Mark
    """The place of the mistake."""
    message: str
    """The mistake, in one sentence."""
    hint: str = ""
    """The text to write instead, if that is known."""
    line: str = ""
    """The text of the line."""

    def __str__(self) -> str:
        return f"{self.mark}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class RolerunnerError(Exception):
    """Base class; ``exit_status`` is the command's exit status."""

    exit_status = 1


class UsageError(RolerunnerError):
    """The command line is wrong; nothing ran."""

    exit_status = 2


class SpecError(RolerunnerError):
    """All mistakes of a spec, in the order of the file."""

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
    """A step failed. ``type`` names the failure in the result file; ``hint`` says what to do."""

    exit_status = 4

    def __init__(self, message: str, *, hint: str = "", type: str = "") -> None:  # noqa: A002 - the result file's own word
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.type = type or self.__class__.__name__
        self.attempts = 1
        """Attempts until it failed."""
        self.still_runs = False
        """True if the work could not be stopped and may still run."""

    def __reduce__(self) -> tuple[Any, ...]:
        # errors return from worker processes; pickle's default passes only the message
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]  # typeshed leaves it out


class RoleRefused(StepError):
    """STS refused AssumeRole. The hint shows both policy statements that may be missing.

    ``asked_by`` is the ARN of the caller, if known; ``through`` is the refused role of the chain.
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
    """Any other error of AWS, or no response."""


class UnexpectedResponse(ServiceFailed):
    """A response that the service does not give, such as the page of a proxy."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint=_UNEXPECTED, type="InternalError")


class EmptySource(StepError):
    """Nothing to work on, and the spec does not allow that."""


class UnsafeKey(StepError):
    """An object key that would leave the target folder, or is not a valid file name."""


class LocalFileFailed(StepError):
    """The local disk failed: full, missing or forbidden path."""


class IntegrityFailed(StepError):
    """The bytes received are not those that were sent."""


class FunctionFailed(StepError):
    """The user's function raised, or could not be imported."""


class FieldError(StepError):
    """A field that depends on another step's output has a wrong value."""


class RolesRefused(RolerunnerError):
    """All roles refused before the first step. ``ran_any``: steps for failures ran."""

    exit_status = 3

    def __init__(self, refusals: Sequence[RoleRefused], *, ran_any: bool = False) -> None:
        self.refusals = tuple(refusals)
        self.ran_any = ran_any
        super().__init__("\n".join(refusal.message for refusal in self.refusals))

    @property
    def summary(self) -> str:
        """The number of roles; an endpoint that is unreachable, or not STS, does not refuse."""
        count = len(self.refusals)
        refused = f"{'was' if count == 1 else 'were'} refused"
        verb = (
            "could not be assumed"
            if any(refusal.type in _NO_REFUSALS for refusal in self.refusals)
            else refused
        )
        roles = "role" if count == 1 else "roles"
        steps = "only steps for failures ran" if self.ran_any else "no step ran"
        return f"{count} {roles} {verb}, {steps}"


class SecretsFailed(RolerunnerError):
    """All secret params that could not be fetched before the first step.

    ``ran_any``: steps for failures ran.
    """

    exit_status = 4

    def __init__(self, failures: Sequence[StepError], *, ran_any: bool = False) -> None:
        self.failures = tuple(failures)
        self.ran_any = ran_any
        super().__init__("\n".join(failure.message for failure in self.failures))

    @property
    def hint(self) -> str:
        """Returns the remedies of all of them."""
        return "\n".join(dict.fromkeys(each.hint for each in self.failures if each.hint))

    @property
    def summary(self) -> str:
        """The number of secrets."""
        count = len(self.failures)
        steps = "only steps for failures ran" if self.ran_any else "no step ran"
        return f"{count} secret{'' if count == 1 else 's'} could not be fetched, {steps}"


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
