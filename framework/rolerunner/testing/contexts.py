"""Contexts of functions outside of a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Optional, cast

from rolerunner.actions.base import StepContext
from rolerunner.actions.functions import FunctionContext
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import UsageError
from rolerunner.model import JOB, Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rolerunner.events import StepProgress
    from rolerunner.sessions.registry import Sessions

RUN_ID = "20260101T000000Z-000000"
"""The id of the run that contexts name."""
_LOGGER = logging.getLogger("rolerunner.testing")


def create_context(
    workdir: Path,
    params: Optional[Mapping[str, Any]] = None,
    *,
    clients: Optional[Mapping[str, Any]] = None,
) -> FunctionContext:
    """Creates the first argument of a function, for a test without AWS.

    ``clients`` maps names of services to the clients that ``context.client`` returns, such as
    stubs. Messages and progress go to the logger ``rolerunner.testing``, where pytest's ``caplog``
    sees them.
    """
    sessions = cast("Sessions", _GivenClients(clients or {}))
    return build_context(sessions, JOB, workdir, params or {})


def build_context(
    sessions: Sessions,
    role: Optional[Role],
    workdir: Path,
    params: Mapping[str, Any],
    *,
    in_sandbox: bool = False,
) -> FunctionContext:
    """Returns the context of a function that runs under a role, with these sessions."""
    return FunctionContext.of(
        StepContext(
            step_id="test",
            run_id=RUN_ID,
            roles={} if role is None else {"role": role},
            sessions=sessions,
            open_storage=_refuse_storage,
            workdir=workdir,
            project=workdir,
            params=dict(params),
            cancel=Cancel(),
            progress=_log_progress,
            note=_log_message,
            in_sandbox=in_sandbox,
        )
    )


class _GivenClients:
    """Sessions whose clients a test has made."""

    def __init__(self, clients: Mapping[str, Any]) -> None:
        self._clients = clients

    def client(self, role: Role, service: str, *, region: str = "") -> Any:
        del role, region
        if service not in self._clients:
            raise UsageError(
                f"this context has no client of '{service}': pass one, as in "
                f"clients={{'{service}': STUB}}, or take the context of a sandbox"
            )
        return self._clients[service]

    def session(self, role: Role) -> Any:
        del role
        raise UsageError("this context has no session: take the context of a sandbox")


def _refuse_storage(*_: Any, **__: Any) -> Any:
    raise UsageError("the context of a test has no storage: call the function in a run")


def _log_message(level: str, message: str, values: Mapping[str, Any]) -> None:
    text = " ".join([message, *(f"{name}={value}" for name, value in values.items())])
    _LOGGER.log(logging.getLevelName(level.upper()), "%s", text)


def _log_progress(progress: StepProgress) -> None:
    total = f" of {progress.total_objects}" if progress.total_objects else ""
    _LOGGER.info("%s", f"progress: {progress.objects}{total}")
