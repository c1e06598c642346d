"""Contexts of functions outside of a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from rolerunner.errors import UsageError
from rolerunner.testing.contexts import create_context

if TYPE_CHECKING:
    from pathlib import Path


def test_params_and_workdir_are_those_of_the_test(tmp_path: Path) -> None:
    context = create_context(tmp_path, {"day": 1})
    assert (context.params, context.workdir) == ({"day": 1}, tmp_path)
    assert not context.cancel.is_set()


def test_clients_are_those_that_were_passed(tmp_path: Path) -> None:
    stub = object()
    assert create_context(tmp_path, clients={"s3": stub}).client("s3", "eu-west-1") is stub


def test_a_client_that_was_not_passed_is_an_error(tmp_path: Path) -> None:
    context = create_context(tmp_path)
    with pytest.raises(UsageError, match="no client of 'glue': pass one"):
        context.client("glue")
    with pytest.raises(UsageError, match="no session"):
        _ = context.session


def test_messages_and_progress_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rolerunner.testing")
    context = create_context(tmp_path)
    context.log("found 100%", objects=3)
    context.progress(3)
    context.progress(3, 4)
    assert caplog.messages == ["found 100% objects=3", "progress: 3", "progress: 3 of 4"]
