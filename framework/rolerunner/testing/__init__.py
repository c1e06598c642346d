"""A plugin for pytest: runs specs in the sandbox, and functions with a context.

A project turns it on in its ``conftest.py``::

    pytest_plugins = ["rolerunner.testing"]

It is no entry point of pytest, which would import it in every test run of the environment.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol

import pytest

from rolerunner.actions.functions import FunctionContext
from rolerunner.testing.contexts import create_context
from rolerunner.testing.spec_sandbox import SpecSandbox, start_spec_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "CreateContext",
    "FunctionContext",
    "SpecSandbox",
    "StartSandbox",
    "create_context",
    "rolerunner_context",
    "rolerunner_sandbox",
    "start_spec_sandbox",
]


class StartSandbox(Protocol):
    """The type of the fixture ``rolerunner_sandbox``."""

    def __call__(
        self,
        spec: str | Path,
        params: Optional[Mapping[str, Any]] = None,
        *,
        env: str = "",
        file: Optional[str | Path] = None,
    ) -> SpecSandbox:
        """Starts a sandbox; the arguments are those of ``start_spec_sandbox``."""


class CreateContext(Protocol):
    """The type of the fixture ``rolerunner_context``."""

    def __call__(
        self,
        params: Optional[Mapping[str, Any]] = None,
        *,
        clients: Optional[Mapping[str, Any]] = None,
    ) -> FunctionContext:
        """Creates a context; the arguments are those of ``create_context``."""


@pytest.fixture
def rolerunner_sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartSandbox]:
    """Starts sandboxes of specs, which end with the test.

    A relative path is below the root folder of pytest.
    """
    root = request.config.rootpath
    with ExitStack() as stack:

        def start(
            spec: str | Path,
            params: Optional[Mapping[str, Any]] = None,
            *,
            env: str = "",
            file: Optional[str | Path] = None,
        ) -> SpecSandbox:
            path = None if file is None else root / file
            started = start_spec_sandbox(root / spec, params, env=env, file=path, folder=tmp_path)
            return stack.enter_context(started)

        yield start


@pytest.fixture
def rolerunner_context(tmp_path: Path) -> CreateContext:
    """Creates contexts for functions that are called without a sandbox."""

    def create(
        params: Optional[Mapping[str, Any]] = None,
        *,
        clients: Optional[Mapping[str, Any]] = None,
    ) -> FunctionContext:
        return create_context(tmp_path, params, clients=clients)

    return create
