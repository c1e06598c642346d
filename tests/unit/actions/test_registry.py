"""The registry finds the actions by their files, and imports them when they are looked up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rolerunner.actions import find_action, registry
from rolerunner.actions.base import Action

ACTIONS = sorted(registry())


def run_python(code: str) -> str:
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ended.stdout.strip()


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_has_the_name_of_its_module(name: str) -> None:
    action = registry()[name]
    assert issubclass(action, Action)
    assert action.kind == name
    assert action.__module__.rpartition(".")[2] == name.replace(".", "_")


@pytest.mark.parametrize("name", ACTIONS)
def test_what_an_action_says_of_itself_fits_its_fields(name: str) -> None:
    action = registry()[name]
    fields = action.model_fields
    if action.stores_objects:
        assert {"target", "encryption"} <= set(fields)
    if action.calls_user_code:
        assert "function" in fields
    if action.calls_any_service:
        assert {"service", "operation"} <= set(fields)
    if action.deletes_objects:
        assert "max_delete" in fields
    assert not (action.stores_objects and not action.counts_transfers)


def test_the_attributes_name_the_actions_that_others_treat_differently() -> None:
    found = {
        attribute: [name for name in ACTIONS if getattr(registry()[name], attribute)]
        for attribute in (
            "stores_objects",
            "sends_data_out",
            "deletes_objects",
            "calls_user_code",
        )
    }
    assert found == {
        "stores_objects": [
            "s3.concat",
            "s3.copy",
            "s3.pack",
            "s3.unpack",
            "s3.upload",
            "s3.write",
            "sftp.download",
        ],
        "sends_data_out": ["sftp.upload"],
        "deletes_objects": ["s3.delete"],
        "calls_user_code": ["python.call"],
    }


def test_only_an_action_that_is_looked_up_is_imported() -> None:
    code = (
        "import sys; from rolerunner.actions import registry; registry()['s3.read'];"
        "print(sorted(name.rpartition('.')[2] for name in sys.modules"
        " if name.startswith('rolerunner.actions.builtin.')))"
    )
    assert run_python(code) == "['s3_read']"


def test_no_action_imports_botocore() -> None:
    code = (
        "import sys; from rolerunner.actions import registry; dict(registry());"
        "print([name for name in ('botocore', 'boto3', 'pyspark', 'paramiko')"
        " if name in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_an_unknown_action_is_none() -> None:
    assert find_action("s3.unknown") is None
    assert find_action("s3.copy") is registry()["s3.copy"]
