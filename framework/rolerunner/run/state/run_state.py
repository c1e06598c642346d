"""What a run has done already, kept outside of it: resume, and the lock that two runs of one key never share.

One JSON document for each run key. Every write is conditional on the one before (S3's If-Match and If-None-Match, a lock
file on disk), so a run that was taken over finds out at its next write and writes nothing more. A run that cannot renew
its lock stops before others may take it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import shutil
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import NotFound, StateHeld, StepError, UsageError
from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import MASK, Secret
from rolerunner.run.state.document import LIST, VERSION, is_plain, parse_document
from rolerunner.run.state.leftovers import find_change
from rolerunner.run.state.locations import MAX_BYTES, Bucket, Folder, Lost, Place
from rolerunner.run.state.lock_holder import Holder, elapsed, utc_now
from rolerunner.selection.manifest import ObjectList

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel

__all__ = [
    "Bucket",
    "Done",
    "Folder",
    "Holder",
    "Lost",
    "NotKept",
    "NotWhole",
    "Place",
    "State",
    "check_key",
    "fingerprint",
    "hold",
]

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+=@-]{0,199}\Z")
_RENEWED_IN = 4
"""The lock is renewed so many times before it would be stale."""
_TAKE_OVER_TRIES = 5
"""Looks at a state that is written to while it is taken over."""
_STOPS_IN = 5.0
"""Seconds that a run has for stopping before its lock is stale; half of the lock's time at most."""
_GLANCE = 1.0
"""Seconds between two looks at how old the lock is: a machine that slept finds out soon after it wakes."""
_BLOCK = 1 << 20


class NotWhole(StepError):
    """A list that a step left in the state is missing, cut short or changed."""


class NotKept(StepError):
    """What a step gave cannot be kept, so a resumed run does the step again."""


@dataclass(frozen=True)
class Done:
    """A step that is done: how it ended, what it gave, and the digest of each thing that it was made from."""

    status: str
    outputs: Mapping[str, Any]
    fingerprint: Mapping[str, str]
    run_id: str
    seconds: float = 0.0
    left: Optional[Mapping[str, Any]] = None
    """Where the list of what it left on a machine is kept, and the name of that machine; None: it left nothing."""
    tells_left: bool = True
    """False for a step of an earlier release, which did not write down what it left."""


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
    begun: dict[str, str] = field(default_factory=dict)
    """Step that is not idempotent -> the run that began it, while its outcome is unknown."""
    etag: str = ""
    is_new: bool = True
    lost: Optional[StepError] = None
    """Why nothing may be written any more."""
    _texts: dict[str, str] = field(default_factory=dict)
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _renewed: float = 0.0
    """When the write began that last succeeded, by ``elapsed``."""
    _on_lost: Callable[[], None] = lambda: None

    def take(self) -> None:
        """Write that this run holds the key. Raises Lost where another was quicker, StepError."""
        with self._writing:
            self._write()

    def check_conditions(self) -> None:
        """Prove that the place of the state keeps conditions, without which there is no lock. Raises StepError."""
        self.place.check_conditions(self.name, self._document())

    def done(self, step: str) -> Optional[Done]:
        """What is known of a step."""
        read = self.steps.get(step)
        return None if read is None else Done(**read, tells_left="left" in read)

    def brought_back(self, done: Done, workdir: Path) -> dict[str, Any]:
        """A step's outputs, with its lists of objects on this machine. Raises NotWhole, StepError."""
        return {name: self._brought_back(value, workdir) for name, value in done.outputs.items()}

    def change_of(self, done: Done, workdir: Path, cancel: Cancel) -> str:
        """Return why what a step left on a machine is not there any more, or cannot be looked at; empty where it is. Raises StepError."""
        left = done.left
        if left is None:
            return ""
        here = socket.gethostname()
        if left["host"] != here:
            return f"its files are on {left['host']}, and this is {here}"
        path = _local(left["name"], workdir)
        try:
            self._fetch(left, path)
        except NotWhole as error:
            return error.message
        return find_change(path, cancel)

    def begin(self, step: str) -> None:
        """Write that a step begins which must not be called twice. Raises StepError."""
        with self._writing:
            self.begun[step] = self.holder.run_id
            self._write()

    def forget(self, step: str) -> None:
        """Write that a step which was begun is known to have failed. Raises StepError."""
        with self._writing:
            if self.begun.pop(step, None) is not None:
                self._write()

    def drop(self, step: str) -> None:
        """Remove what an earlier run kept of a step, if it kept anything. Raises StepError."""
        with self._writing:
            if self.steps.pop(step, None) is not None:
                self._texts.pop(step, None)
                self._write()

    def record(self, step: str, done: Done, left: Sequence[Path] = ()) -> None:
        """Write that a step is done, its lists of objects and of what it left first. Raises NotKept, StepError."""
        lists = _Lists(self.place, f"{self.job}/{self.key}/{step}")
        try:
            outputs = {name: lists.kept(value) for name, value in done.outputs.items()}
        except NotKept:
            self.drop(step)
            raise
        entry = {
            "status": done.status, "outputs": outputs, "fingerprint": dict(done.fingerprint), "run_id": done.run_id, "seconds": done.seconds,
            "left": lists.left(left),
        }  # fmt: skip
        with self._writing:
            self.steps[step] = entry
            self.begun.pop(step, None)
            self._texts.pop(step, None)
            self._write()

    def keep_until_closed(self, on_lost: Callable[[], None]) -> None:
        """Renew the lock in a thread of its own; ``on_lost`` is called when it is gone, or will be before it can be renewed."""
        self._on_lost = on_lost
        for work, name in ((self._renew, "rolerunner-state"), (self._watch, "rolerunner-lease")):
            threading.Thread(target=work, daemon=True, name=name).start()

    def _renew(self) -> None:
        period = self.holder.stale_after / _RENEWED_IN
        wait = max(self._renewed + period - elapsed(), 0)
        while not self._ended.wait(wait) and self.lost is None:
            wait = period
            try:
                with self._writing:
                    if not self._ended.is_set():
                        self.holder = replace(self.holder, renewed=utc_now())
                        self._write()
            except StepError:
                wait = (
                    period / _RENEWED_IN
                )  # a lost connection; there are other tries before it is stale

    def _watch(self) -> None:
        """Stop the run in time where nothing was written for so long that others may soon take the key, also while a write hangs."""
        lasts = self.holder.stale_after
        until = lasts - min(max(lasts / _RENEWED_IN, _STOPS_IN), lasts / 2)
        while self.lost is None:
            left = self._renewed + until - elapsed()
            if left <= 0:
                message = f"the lock of the run key '{self.key}' could not be renewed for {until:.3g} s, so this run stops before another may take it"
                self._lose(
                    Lost(
                        message,
                        hint="see whether the place of the state can be reached and written to",
                        type="LockNotRenewed",
                    )
                )
            elif self._ended.wait(min(left, _GLANCE)):
                return

    def _lose(self, why: StepError) -> None:
        if self.lost is None:
            self.lost = why
            self._on_lost()

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
        document = self._document()
        if len(document) > MAX_BYTES:
            raise StepError(
                f"the state would have {len(document):,} bytes, and {MAX_BYTES:,} at most are read back",
                type="TooLarge",
            )
        began = elapsed()
        try:
            self.etag = self.place.write(self.name, document, self.etag)
        except Lost as error:
            self._lose(error)
            raise
        self._renewed = began

    def _document(self) -> bytes:
        head = {
            "version": VERSION,
            "job": self.job,
            "key": self.key,
            "started": self.started,
            "holder": asdict(self.holder),
            "begun": self.begun,
        }
        for step, entry in self.steps.items():
            if (
                step not in self._texts
            ):  # of a thousand steps one is new: the others are not worked out again
                self._texts[step] = json.dumps(entry)
        steps = ", ".join(f"{json.dumps(step)}: {self._texts[step]}" for step in self.steps)
        return f'{json.dumps(head)[:-1]}, "steps": {{{steps}}}}}\n'.encode()

    def _brought_back(self, value: Any, workdir: Path) -> Any:
        if isinstance(value, dict) and set(value) == {LIST}:
            kept = value[LIST]
            path = _local(kept["name"], workdir)
            self._fetch(kept, path)
            return ObjectList(
                path, S3Uri(*kept["prefix"]), kept["count"], kept["bytes"], kept["flat"]
            )
        if isinstance(value, list):
            return [self._brought_back(each, workdir) for each in value]
        return value

    def _fetch(self, kept: Mapping[str, Any], path: Path) -> None:
        """Bring a list back, and compare it with what the document says of it. Raises NotWhole, StepError."""
        try:
            self.place.fetch(kept["name"], path)
        except NotFound as error:
            raise NotWhole(
                f"its list {kept['name']} is not in the state any more ({error.message})",
                type="StateDamaged",
            ) from None
        whole = (
            _digest(path) == kept["sha256"]
            if "sha256" in kept
            else _measure(path) == (kept["count"], kept["bytes"])
        )
        if not whole:
            raise NotWhole(
                f"its list {kept['name']} in the state is not the one that was written",
                type="StateDamaged",
            )


def _local(name: str, workdir: Path) -> Path:
    return workdir / "state" / name.replace("/", "_")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def _measure(path: Path) -> Optional[tuple[int, int]]:
    """Objects and bytes of a list that an earlier release wrote, which kept no digest; None for one that cannot be read."""
    count = size = 0
    try:
        for info in ObjectList(path, S3Uri(""), 0, 0):
            count, size = count + 1, size + info.size
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return count, size


class _Lists:
    """Replaces the lists of objects in outputs by where they are kept."""

    def __init__(self, place: Place, base: str) -> None:
        self._place = place
        self._base = base
        self._count = 0

    def kept(self, value: Any) -> Any:
        """The value as the document holds it. Raises NotKept, StepError."""
        if isinstance(value, ObjectList):
            self._count += 1
            prefix = [value.prefix.bucket, value.prefix.key]
            stored = self._stored(str(self._count), value.path)
            return {
                LIST: {
                    **stored,
                    "prefix": prefix,
                    "count": value.count,
                    "bytes": value.bytes,
                    "flat": value.flat,
                }
            }
        if isinstance(value, (list, tuple)) and _has_lists(value):
            return [self.kept(each) for each in value]
        if not is_plain(value):
            raise NotKept("what it gave is not JSON of a few levels")
        return value

    def left(self, files: Sequence[Path]) -> Optional[dict[str, Any]]:
        """Where the list of what a step left is kept; None for one that left nothing. Raises StepError."""
        if not files:
            return None
        path = files[0]
        if len(files) > 1:
            path = path.with_suffix(".all")
            with path.open("wb") as whole:
                for each in files:
                    with each.open("rb") as part:
                        shutil.copyfileobj(part, whole)
        with path.open("rb") as lines:
            count = sum(1 for _ in lines)
        return {
            "host": socket.gethostname(),
            **self._stored("left", path),
            "count": count,
            "bytes": path.stat().st_size,
        }

    def _stored(self, part: str, path: Path) -> dict[str, Any]:
        # a name of its own each time: a run that was taken over cannot write over what the next one reads
        name = f"{self._base}-{part}-{secrets.token_hex(4)}.jsonl"
        digest = _digest(path)
        self._place.keep(name, path)
        return {"name": name, "sha256": digest}


def _has_lists(value: Any) -> bool:
    """Is a list of objects among these values, at whatever level of lists?"""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, ObjectList):
            return True
        if isinstance(each, (list, tuple)):
            pending += each
    return False


def check_key(key: str) -> str:
    """A run key as it is. Raises UsageError for one that cannot be a name."""
    if not _KEY.match(key):
        raise UsageError(f"'{key}' cannot be a run key: letters, digits and _.:+=@-, 200 at most")
    return key


def hold(
    place: Place,
    job: str,
    key: str,
    holder: Holder,
    *,
    must_exist: bool = False,
    take_over: bool = False,
) -> State:
    """Take the key for this run. Raises StateHeld where another run has it, UsageError for an unknown key, StepError."""
    for _ in range(_TAKE_OVER_TRIES if take_over else 1):
        state = _found(place, job, key, holder, must_exist=must_exist, take_over=take_over)
        try:
            state.take()
        except Lost:
            continue  # the run that is to be taken over is not dead: it renewed its lock between our look and our write
        try:
            state.check_conditions()
        except StepError:
            with contextlib.suppress(StepError):
                state.close()
            raise
        return state
    raise StateHeld(
        f"another run took the run key '{key}' at this moment; see which, and try again"
    )


def _found(
    place: Place, job: str, key: str, holder: Holder, *, must_exist: bool, take_over: bool
) -> State:
    """The key's state as it stands, to be taken; a new one where there is none."""
    name = f"{job}/{check_key(key)}.json"
    there = place.read(name)
    if there is None:
        if must_exist:
            raise UsageError(
                f"there is no state for the run key '{key}' of job '{job}'; see the last line of the run that failed for its key"
            )
        return State(place, name, job, key, holder, utc_now())
    read = parse_document(there[0], name, job, key)
    if not take_over and not _is_free(read.holder, place, name):
        before = read.holder
        raise StateHeld(
            f"the run key '{key}' of job '{job}' is held by run {before.run_id} on {before.host} (process {before.pid}) since {before.since}, "
            f"last renewed {before.renewed}; it can be taken {before.stale_after:g} s after that, or now with --take-over if that run is dead"
        )
    return State(
        place,
        name,
        job,
        key,
        holder,
        read.started,
        read.steps,
        read.begun,
        there[1],
        is_new=False,
        _texts=read.texts,
    )


def _is_free(holder: Holder, place: Place, name: str) -> bool:
    """Return whether a key may be taken: its run is gone, or has not written for too long by the clock of the place."""
    if holder.is_gone():
        return True
    age = place.age(name)
    if age is None:  # no clock but this machine's
        age = (datetime.now(timezone.utc) - datetime.fromisoformat(holder.renewed)).total_seconds()
    return age > holder.stale_after


def fingerprint(parts: Mapping[str, Any]) -> dict[str, str]:
    """A digest of each thing that a step is made from; a list of objects counts by what is in it, not by where it lies."""
    return {
        name: hashlib.sha256(json.dumps(_canonical(value), sort_keys=True).encode()).hexdigest()[
            :32
        ]
        for name, value in parts.items()
    }


def _canonical(value: Any) -> Any:
    if isinstance(value, ObjectList):
        digest = hashlib.sha256()
        for info in (
            value
        ):  # and not the file's bytes: a manifest brought back may hold its lines in another form
            digest.update(
                f"{info.key}\0{info.size}\0{info.etag}\0{info.version}\n".encode(
                    "utf-8", "surrogateescape"
                )
            )
        return {"prefix": str(value.prefix), "objects": digest.hexdigest()}
    if isinstance(value, Mapping):
        return {str(key): _canonical(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Secret):
        return MASK  # a digest of a short secret tells it to whoever tries some
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
