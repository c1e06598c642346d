"""Tests that clients work though botocore is imported without what a run hardly uses."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.once
MOST_MODULES = 105
"""The modules of botocore and what it needs that a client of S3 imports at most."""
_CODE = """
import sys
from rolerunner.model import JOB
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.registry import Sessions
from rolerunner.sessions.botocore_imports import _DEFERRED
client = Sessions(JobIdentity("eu-west-1", keys=Keys("k", "s"))).client(JOB, "s3")
print(sorted(sys.modules.keys() & _DEFERRED.keys()))
print(sum(name.partition(".")[0] in {"botocore", "urllib3", "dateutil"} for name in sys.modules))
import pydoc
print("Bucket" in pydoc.render_doc(client.list_objects_v2, renderer=pydoc.plaintext))
print(client.get_waiter("object_exists").name)
print(client.get_paginator("list_objects_v2").result_keys[0].expression)
"""


def test_what_a_client_is_seldom_asked_for_is_imported_when_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # coverage imports modules, too
    command = [sys.executable, "-c", _CODE]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    deferred, count, *answers = completed.stdout.splitlines()
    assert (deferred, answers) == ("[]", ["True", "ObjectExists", "Contents"])
    assert int(count) <= MOST_MODULES
