"""Takes the lock of a run key."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timezone

from rolerunner.errors import StateHeld, StepError, UsageError
from rolerunner.run.state.document import StateDocument, parse_document
from rolerunner.run.state.lock_holder import LockHolder, utc_now
from rolerunner.run.state.run_state import RunState
from rolerunner.run.state.stores import LockLost, StateStore

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+=@-]{0,199}\Z")
_TAKE_OVER_ATTEMPTS = 5
"""Attempts to take over a state that its run still writes to."""


def acquire_state(
    store: StateStore,
    job: str,
    key: str,
    holder: LockHolder,
    *,
    must_exist: bool = False,
    take_over: bool = False,
) -> RunState:
    """Returns the state of a run key, with its lock held.

    Raises StateHeld if another run holds it, UsageError for an unknown key, StepError.
    """
    name = f"{job}/{check_key(key)}.json"
    for _ in range(_TAKE_OVER_ATTEMPTS if take_over else 1):
        state = _read_state(store, name, job, key, holder, must_exist=must_exist)
        if not take_over:
            _check_free(state, store, name)
        state.holder = holder
        try:
            state.acquire()
        except LockLost:
            continue  # the other run is alive: it renewed its lock since the document was read
        _check_conditions(state)
        return state
    raise StateHeld(
        f"another run has just taken the run key '{key}'; check which one, and try again"
    )


def check_key(key: str) -> str:
    """Returns the run key. Raises UsageError if it cannot be part of a file name."""
    if not _KEY.match(key):
        raise UsageError(
            f"'{key}' is not a valid run key: use at most 200 letters, digits and _.:+=@-"
        )
    return key


def _check_conditions(state: RunState) -> None:
    try:
        state.check_conditions()
    except StepError:
        with contextlib.suppress(StepError):
            state.release()
        raise


def _read_state(
    store: StateStore, name: str, job: str, key: str, holder: LockHolder, *, must_exist: bool
) -> RunState:
    """Returns the state as it is stored, or a new one. Raises UsageError, StepError."""
    found = store.read(name)
    if found is None:
        if must_exist:
            raise UsageError(
                f"there is no state for the run key '{key}' of job '{job}'; "
                "the last line of the run that failed shows its key"
            )
        return RunState(store, name, job, key, holder, utc_now())
    data, etag = found
    document = parse_document(data, name, job, key)
    return _from_document(document, store, name, job, key, etag)


def _from_document(
    document: StateDocument, store: StateStore, name: str, job: str, key: str, etag: str
) -> RunState:
    return RunState(
        store,
        name,
        job,
        key,
        document.holder,
        document.started,
        document.steps,
        document.begun,
        document.notes,
        etag,
        is_new=False,
        texts=document.texts,
    )


def _check_free(state: RunState, store: StateStore, name: str) -> None:
    """Raises StateHeld if another run holds the key."""
    if state.is_new or _is_free(state.holder, store, name):
        return
    holder = state.holder
    raise StateHeld(
        f"the run key '{state.key}' of job '{state.job}' is held by run {holder.run_id} "
        f"on {holder.host} (process {holder.pid}) since {holder.since}, "
        f"last renewed {holder.renewed}; it can be taken {holder.stale_after:g} s after that, "
        "or now with --take-over if that run is dead"
    )


def _is_free(holder: LockHolder, store: StateStore, name: str) -> bool:
    """Returns True if the holder is gone, or its lock is stale by the clock of the store."""
    if holder.is_gone():
        return True
    age = store.age(name)
    if age is None:  # only this machine's clock is left
        age = (datetime.now(timezone.utc) - datetime.fromisoformat(holder.renewed)).total_seconds()
    return age > holder.stale_after
