"""Opens S3 in a worker of a cluster."""

from __future__ import annotations

import pickle
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from rolerunner.model import Role
    from rolerunner.sessions.identity import JobIdentity
    from rolerunner.sessions.registry import Sessions
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.protocol import Access, Storage

    StorageOpener = Callable[[Sessions, Role, Access, Pacer], Storage]

MAX_JITTER = 2.0
"""Maximum delay, in seconds, before a worker's first AssumeRole.

STS allows about 600 calls a second in an account and region.
"""
_JITTER_PER_SLOT = 0.01


@dataclass(frozen=True)
class WorkerSetup:
    """Opens S3 in a worker, with credentials that it finds on its own machine.

    ``opener`` is a function that pickles by name. ``jitter`` is the maximum delay before the first
    session, in seconds. ``keys_file``, if set, has the job's keys: only a path is sent to workers.
    """

    opener: StorageOpener
    identity: JobIdentity
    session_name: str
    jitter: float = 0.0
    keys_file: str = ""

    def with_jitter(self, slots: int) -> WorkerSetup:
        """Returns the setup with a jitter that keeps so many workers apart."""
        return replace(self, jitter=min(MAX_JITTER, slots * _JITTER_PER_SLOT))

    def sessions(self) -> Sessions:
        """Returns the sessions of this process, which all its tasks share."""
        # imports boto3, which checking a spec does not need
        from rolerunner.sessions.registry import Sessions  # noqa: PLC0415

        identity = self.identity
        endpoints = tuple(sorted(identity.endpoints.items()))
        key = (identity.region, identity.profile, endpoints, self.session_name, self.keys_file)
        with _SESSIONS_LOCK:
            if key not in _SESSIONS:
                time.sleep(random.uniform(0, self.jitter))
                _SESSIONS[key] = Sessions(self._find_keys(), session_name=self.session_name)
            return _SESSIONS[key]

    def _find_keys(self) -> JobIdentity:
        """Returns the identity with the keys of the file, if there is one. Raises StepError."""
        if not self.keys_file:
            return self.identity
        from rolerunner.sessions.keys_file import read_keys  # noqa: PLC0415 - imports botocore

        return replace(self.identity, keys=read_keys(Path(self.keys_file)))


_SESSIONS_LOCK = threading.Lock()
_SESSIONS: dict[tuple[Any, ...], Sessions] = {}


_MAX_STORAGES = 8
"""Storages that a worker keeps open: two for each of a few steps that run at once."""
_STORAGES: dict[bytes, Storage] = {}


def open_worker_storage(setup: WorkerSetup, role: Role, access: Access, pacer: Pacer) -> Storage:
    """Opens S3 under a role, in a worker.

    Tasks of one process share it: what it knows of a server, such as the rate that it takes, stays.
    With limits of its own each task has another one, since they are shares of the limits.
    """
    if pacer.is_paced:
        return setup.opener(setup.sessions(), role, access, pacer)
    key = pickle.dumps((setup, role, access))
    if key not in _STORAGES:
        while len(_STORAGES) >= _MAX_STORAGES:
            _STORAGES.pop(next(iter(_STORAGES)))
        _STORAGES[key] = setup.opener(setup.sessions(), role, access, pacer)
    return _STORAGES[key]
