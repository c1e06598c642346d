"""What a run has done already, kept outside of it: resume, and the lock that two runs of one key never share.

One JSON document for each run key. Every write is conditional on the one before (S3's If-Match and If-None-Match, a lock
file on disk), so whoever was taken over finds out at its next write and writes nothing more.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import socket
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol

from rolerunner.errors import NotFound, StateHeld, StepError, UsageError
from rolerunner.model import S3Uri
from rolerunner.storage.base import Cancel, Get, Put
from rolerunner.storage.local import copy_file, write_whole
from rolerunner.storage.manifest import ObjectList

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.storage.base import Storage

VERSION = 1
MAX_BYTES = 64 << 20
"""Bytes of a state document that are read: lists of objects are not in it, but beside it."""
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+=@-]{0,199}\Z")
_LIST = "$objects"
_RENEWED_IN = 4
"""The lock is renewed so many times before it would be stale."""
_TAKE_OVER_TRIES = 5
"""Looks at a state that is written to while it is taken over."""


class Lost(StepError):
    """Another run has taken the lock over: this one must not go on."""


class Place(Protocol):
    """Where documents are kept, written under conditions."""

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """A document and its ETag; None if there is none. Raises StepError."""

    def write(self, name: str, data: bytes, etag: str) -> str:
        """Write over the document with this ETag, or make it if that is empty; the new one. Raises Lost, StepError."""

    def keep(self, name: str, path: Path) -> None:
        """Store a file. Raises StepError."""

    def fetch(self, name: str, path: Path) -> None:
        """Bring a file back. Raises StepError."""


@dataclass(frozen=True)
class Folder:
    """Documents in a folder of this machine."""

    path: Path

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """A document."""
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StepError(f"{self.path / name}: {error.strerror}", type="StateUnreadable") from None
        return data, hashlib.sha256(data).hexdigest()

    def write(self, name: str, data: bytes, etag: str) -> str:
        """Compare and write, under a lock that the operating system gives back if the process dies."""
        with self._locked(name):
            there = self.read(name)
            if (there[1] if there else "") != etag:
                raise _lost(name)
            write_whole(self.path / name, data, private=True)
        return hashlib.sha256(data).hexdigest()

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        path = self.path / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def keep(self, name: str, path: Path) -> None:
        """Copy a file here."""
        copy_file(path, self.path / name)

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file back."""
        copy_file(self.path / name, path)


@dataclass(frozen=True)
class Bucket:
    """Documents under a prefix in S3."""

    storage: Storage
    prefix: S3Uri

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """A document. Its ETag is asked for first: if it changes in between, the next write sees that."""
        uri = self.prefix.join(name)
        try:
            etag = self.storage.head(uri).etag
            return self.storage.read(uri, MAX_BYTES), etag
        except NotFound as error:
            if error.type == "NoSuchBucket":
                raise
            return None

    def write(self, name: str, data: bytes, etag: str) -> str:
        """PutObject with If-Match or If-None-Match."""
        condition = {"IfMatch": f'"{etag}"'} if etag else {"IfNoneMatch": "*"}
        try:
            return self.storage.write(self.prefix.join(name), data, {**condition, "ContentType": "application/json"}).etag
        except StepError as error:
            if error.type == "AlreadyThere":
                return self._mine(name, data)
            raise

    def _mine(self, name: str, data: bytes) -> str:
        """A write whose answer was lost is repeated, and refused: was it ours that is there? Raises Lost."""
        there = self.read(name)
        if there is None or there[0] != data:
            raise _lost(name)
        return there[1]

    def keep(self, name: str, path: Path) -> None:
        """Upload a file."""
        _whole(self.storage.put([Put(path, self.prefix.join(name))], Cancel()))

    def fetch(self, name: str, path: Path) -> None:
        """Download a file."""
        _whole(self.storage.get([Get(self.prefix.join(name), path)], Cancel()))


def _whole(outcomes: Any) -> None:
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def _lost(name: str) -> Lost:
    hint = "it goes on with what is left; look at its log, and do not start this one again beside it"
    return Lost(f"another run has taken over the state {name}, so this one stops", hint=hint, type="LockLost")


@dataclass(frozen=True)
class Holder:
    """Which run holds a key. ``since`` and ``renewed`` are UTC in ISO 8601; an empty ``run_id``: nobody."""

    run_id: str = ""
    host: str = ""
    pid: int = 0
    since: str = ""
    renewed: str = ""
    stale_after: float = 120.0
    """Seconds without renewal after which it may be taken over."""

    @classmethod
    def now(cls, run_id: str, stale_after: float) -> Holder:
        """This process."""
        moment = _now()
        return cls(run_id, socket.gethostname(), os.getpid(), moment, moment, stale_after)

    def is_stale(self) -> bool:
        """May another take it over: nobody holds it, its process is gone, or it was not renewed in time?"""
        if not self.run_id or (self.host == socket.gethostname() and not _lives(self.pid)):
            return True
        age = (datetime.now(timezone.utc) - datetime.fromisoformat(self.renewed)).total_seconds()
        return age > self.stale_after


@dataclass(frozen=True)
class Done:
    """A step that is done: how it ended, what it gave, and the digest of each thing that it was made from."""

    status: str
    outputs: Mapping[str, Any]
    fingerprint: Mapping[str, str]
    run_id: str
    seconds: float = 0.0


@dataclass
class State:
    """The document of one run key, held by this run. Writes come from several threads, one at a time."""

    place: Place
    name: str
    job: str
    key: str
    holder: Holder
    started: str
    """When the first run of the key began: what run.date and run.time stay."""
    steps: dict[str, Any] = field(default_factory=dict)
    etag: str = ""
    is_new: bool = True
    lost: Optional[StepError] = None
    """Why nothing may be written any more."""
    _texts: dict[str, str] = field(default_factory=dict)
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    def take(self) -> None:
        """Write that this run holds the key. Raises Lost where another was quicker, StepError."""
        with self._writing:
            self._write()

    def done(self, step: str) -> Optional[Done]:
        """What is known of a step."""
        read = self.steps.get(step)
        return None if read is None else Done(**read)

    def brought_back(self, done: Done, workdir: Path) -> dict[str, Any]:
        """A step's outputs, with its lists of objects on this machine. Raises StepError."""
        return {name: self._brought_back(value, workdir) for name, value in done.outputs.items()}

    def record(self, step: str, done: Done) -> None:
        """Write that a step is done, its lists of objects first. Raises StepError."""
        lists = _Lists(self.place, f"{self.job}/{self.key}/{step}")
        entry = asdict(replace(done, outputs={name: lists.kept(value) for name, value in done.outputs.items()}))
        with self._writing:
            self.steps[step] = entry
            self._texts.pop(step, None)
            self._write()

    def renew_until_closed(self, lost: Any) -> None:
        """Renew the lock in a thread of its own; ``lost`` is called when it is gone."""

        def renew() -> None:
            while not self._ended.wait(self.holder.stale_after / _RENEWED_IN):
                try:
                    with self._writing:
                        self.holder = replace(self.holder, renewed=_now())
                        self._write()
                except Lost:
                    lost()
                    return
                except StepError:
                    continue  # a lost connection; there are other tries before it is stale

        threading.Thread(target=renew, daemon=True, name="rolerunner-state").start()

    def close(self) -> None:
        """Give the lock back, if it is still ours. Raises StepError."""
        self._ended.set()
        with self._writing:
            if self.lost is None:
                self.holder = Holder()
                self._write()

    def _write(self) -> None:
        if self.lost is not None:
            raise self.lost
        head = {"version": VERSION, "job": self.job, "key": self.key, "started": self.started, "holder": asdict(self.holder)}
        for step, entry in self.steps.items():
            if step not in self._texts:  # of a thousand steps one is new: the others are not worked out again
                self._texts[step] = f"{json.dumps(step)}: {json.dumps(entry)}"
        document = f'{json.dumps(head)[:-1]}, "steps": {{{", ".join(self._texts.values())}}}}}\n'
        try:
            self.etag = self.place.write(self.name, document.encode(), self.etag)
        except Lost as error:
            self.lost = error
            raise

    def _brought_back(self, value: Any, workdir: Path) -> Any:
        if isinstance(value, dict) and set(value) == {_LIST}:
            kept = value[_LIST]
            path = workdir / "state" / kept["name"].replace("/", "_")
            self.place.fetch(kept["name"], path)
            return ObjectList(path, S3Uri(*kept["prefix"]), kept["count"], kept["bytes"], kept["flat"])
        if isinstance(value, list):
            return [self._brought_back(each, workdir) for each in value]
        return value


class _Lists:
    """Replaces the lists of objects in outputs by where they are kept."""

    def __init__(self, place: Place, base: str) -> None:
        self._place = place
        self._base = base
        self._count = 0

    def kept(self, value: Any) -> Any:
        if isinstance(value, ObjectList):
            self._count += 1
            # a name of its own each time: a run that was taken over cannot write over what the next one reads
            name = f"{self._base}-{self._count}-{secrets.token_hex(4)}.jsonl"
            self._place.keep(name, value.path)
            kept = {"name": name, "prefix": [value.prefix.bucket, value.prefix.key], "count": value.count, "bytes": value.bytes, "flat": value.flat}
            return {_LIST: kept}
        if isinstance(value, (list, tuple)):
            return [self.kept(each) for each in value]
        return value


def check_key(key: str) -> str:
    """A run key as it is. Raises UsageError for one that cannot be a name."""
    if not _KEY.match(key):
        raise UsageError(f"'{key}' cannot be a run key: letters, digits and _.:+=@-, 200 at most")
    return key


def hold(place: Place, job: str, key: str, holder: Holder, *, must_exist: bool = False, take_over: bool = False) -> State:
    """Take the key for this run. Raises StateHeld where another run has it, UsageError for an unknown key, StepError."""
    for _ in range(_TAKE_OVER_TRIES if take_over else 1):
        state = _found(place, job, key, holder, must_exist=must_exist, take_over=take_over)
        try:
            state.take()
        except Lost:
            continue  # the run that is to be taken over is not dead: it renewed its lock between our look and our write
        return state
    raise StateHeld(f"another run took the run key '{key}' at this moment; see which, and try again")


def _found(place: Place, job: str, key: str, holder: Holder, *, must_exist: bool, take_over: bool) -> State:
    """The key's state as it stands, to be taken; a new one where there is none."""
    name = f"{job}/{check_key(key)}.json"
    there = place.read(name)
    if there is not None:
        return _read(place, name, job, key, holder, *there, take_over=take_over)
    if must_exist:
        raise UsageError(f"there is no state for the run key '{key}' of job '{job}'; see the last line of the run that failed for its key")
    return State(place, name, job, key, holder, _now())


def _read(place: Place, name: str, job: str, key: str, holder: Holder, data: bytes, etag: str, *, take_over: bool) -> State:
    try:
        document = json.loads(data)
        before = Holder(**document["holder"])
        steps, started = dict(document["steps"]), str(document["started"])
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"the state {name} is damaged or of another version; remove it to begin anew") from None
    if not take_over and not before.is_stale():
        raise StateHeld(
            f"the run key '{key}' of job '{job}' is held by run {before.run_id} on {before.host} (process {before.pid}) since {before.since}, "
            f"last renewed {before.renewed}; it can be taken {before.stale_after:g} s after that, or now with --take-over if that run is dead"
        )
    return State(place, name, job, key, holder, started, steps, etag, is_new=False)


def fingerprint(parts: Mapping[str, Any]) -> dict[str, str]:
    """A digest of each thing that a step is made from; a list of objects counts by what is in it, not by where it lies."""
    return {name: hashlib.sha256(json.dumps(_canonical(value), sort_keys=True).encode()).hexdigest()[:32] for name, value in parts.items()}


def _canonical(value: Any) -> Any:
    if isinstance(value, ObjectList):
        digest = hashlib.sha256()
        for info in value:  # and not the file's bytes: a manifest brought back may hold its lines in another form
            digest.update(f"{info.key}\0{info.size}\0{info.etag}\0{info.version}\n".encode("utf-8", "surrogateescape"))
        return {"prefix": str(value.prefix), "objects": digest.hexdigest()}
    if isinstance(value, Mapping):
        return {str(key): _canonical(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
