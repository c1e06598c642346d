"""One storage call spread over the machines of a cluster, whatever the cluster is.

The objects of a call are dealt out in waves; each part of a wave goes as a pickled value to a worker, which opens the
same storage for itself: a ``SpreadStorage`` pickles as the description of what it opens, role and all, and never as keys.
What comes back are outcomes, once for each object, however often a worker died on the way.
"""

from __future__ import annotations

import heapq
import pickle
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.redaction.tracebacks import redact_error
from rolerunner.storage.protocol import Access, Copy, Get, ObjectInfo, Outcome, Put, prepare_retry
from rolerunner.storage.workers.distributed_listing import TASKS_PER_SLOT, DistributedListing

if TYPE_CHECKING:
    from rolerunner.model import Role
    from rolerunner.sessions.identity import JobIdentity
    from rolerunner.sessions.registry import Sessions
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.protocol import TaskRunner

T = TypeVar("T")
DistributedTask = Callable[[bool], Any]
"""Some of the work, a value that can be pickled. Called with: may a worker that died have done some of it already?"""
StorageOpener = Callable[["Sessions", "Role", Access, "Pacer"], "Storage"]

OBJECTS_PER_TASK = 250
"""A part of so many objects takes a second or less, beside 20 ms to start it: progress comes at least so often."""
KEYS_PER_DELETION = 1000
"""A part of a deletion is one DeleteObjects."""
BYTES_PER_SLOT = 1 << 30
"""A wave ends at so many bytes for each part that can run at once, so that large objects show progress too."""
BYTES_PER_REQUEST = 256 << 10
"""An object costs as much as so many bytes more, for its requests."""
MAX_JITTER = 2.0
"""Seconds that workers wait at most before their first AssumeRole; STS allows some 600 a second in an account and region."""
_JITTER_A_SLOT = 0.01


@dataclass(frozen=True)
class WorkerSetup:
    """How a worker opens S3: with an identity of its own, found where it is. ``opener`` is a function that pickles by its name."""

    opener: StorageOpener
    identity: JobIdentity
    session_name: str
    jitter: float = 0.0

    def sessions(self) -> Sessions:
        """This process's sessions: one cache for each worker, whatever it works on. The first one waits, lest all ask STS at once."""
        from rolerunner.sessions.registry import Sessions  # noqa: PLC0415 - imports boto3, which checking a spec does not need

        identity = self.identity
        key = (
            identity.region,
            identity.profile,
            tuple(sorted(identity.endpoints.items())),
            self.session_name,
        )
        with _MAKING:
            if key not in _SESSIONS:
                time.sleep(random.uniform(0, self.jitter))
                _SESSIONS[key] = Sessions(identity, session_name=self.session_name)
            return _SESSIONS[key]


_MAKING = threading.Lock()
_SESSIONS: dict[tuple[Any, ...], Sessions] = {}


@dataclass(frozen=True)
class Distribution:
    """A pool, and how its workers open S3."""

    pool: TaskRunner
    place: WorkerSetup

    def storage(
        self, role: Role, access: Access, flow: Pacer, here: Storage, cancel: Cancel
    ) -> DistributedStorage:
        """S3 under a role; ``here`` is the same on this machine, for calls about one object. ``cancel`` stops listings."""
        return DistributedStorage(self.pool, self.prepare_setup(), role, access, flow, here, cancel)

    def prepare_setup(self) -> WorkerSetup:
        """The place, with so much jitter as there are workers to keep apart."""
        return replace(self.place, jitter=min(MAX_JITTER, self.pool.slots() * _JITTER_A_SLOT))

    def run(
        self, parts: Iterable[Sequence[DistributedTask]], cancel: Cancel, what: str
    ) -> Iterator[list[Any]]:
        """Waves of parts that are not about S3 alone. Raises StepError, also for what cannot be shipped."""
        return self.pool.run((pickle_tasks(wave) for wave in parts), cancel, what)


def pickle_tasks(wave: Sequence[DistributedTask]) -> list[bytes]:
    """Pickles each task. Raises StepError for one that cannot be pickled."""
    try:
        return [pickle.dumps(part) for part in wave]
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        hint = "arguments and params must be plain values, and no secrets: those are looked up where they are needed"
        raise StepError(
            f"the work cannot be shipped to other machines: {error}", hint=hint, type="NotShipped"
        ) from None


def _opened(place: WorkerSetup, role: Role, access: Access, flow: Pacer) -> Storage:
    return place.opener(place.sessions(), role, access, flow)


@dataclass(frozen=True)
class _Call:
    """One call of the engine over a part of its objects."""

    storage: Storage
    method: str
    items: Sequence[Any]
    more: tuple[Any, ...]
    options: Mapping[str, Any]
    began: str
    """When the whole call began, as S3 tells moments: what is newer may be a dead worker's work."""

    def __call__(self, again: bool) -> list[Outcome]:
        cancel = Cancel()
        items = (
            [prepare_retry(item) for item in self._unless_done(cancel)]
            if again and self.method in ("copy", "relay")
            else self.items
        )
        outcomes = list(
            getattr(self.storage, self.method)(items, *self.more, cancel, **self.options)
        )
        for outcome in outcomes:
            if outcome.error is not None:
                redact_error(outcome.error)
        return outcomes

    def _unless_done(self, cancel: Cancel) -> list[Union[Copy, Outcome]]:
        """The copies; those that a worker made before it died as outcomes. They are not made again: a bucket may keep versions."""
        heads = {
            head.uri: head.info
            for head in self.storage.head_many([item.target for item in self.items], cancel)
        }
        return [self._outcome(item, heads.get(item.target)) or item for item in self.items]

    def _outcome(self, item: Copy, there: Optional[ObjectInfo]) -> Optional[Outcome]:
        if there is None or item.info is None or there.modified < self.began:
            return None
        if (there.size, there.etag) != (item.info.size, item.info.etag):
            return None
        return Outcome(
            item.target,
            there.size,
            etag=there.etag,
            version=there.version,
            source=item.source,
            source_info=item.info,
        )


@dataclass(frozen=True)
class DistributedStorage:
    """S3 under a role, its calls over many objects spread over a pool. In a worker it comes out as the engine itself."""

    pool: TaskRunner
    place: WorkerSetup
    role: Role
    access: Access
    flow: Pacer
    here: Storage
    cancel: Cancel

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.place, self.role, self.access, self.flow)

    # spread

    def list(
        self,
        prefix: S3Uri,
        *,
        versions: bool = False,
        after: str = "",
        page: int = 1000,
        parallel: bool = True,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[ObjectInfo]:
        """Lists ranges of keys in parallel on the cluster, in key order; on this machine if ``parallel`` is False.

        Directory buckets, which have no key order, are listed on this machine from the beginning.
        """
        if prefix.in_directory_bucket:
            return self.here.list(prefix, versions=versions, page=page, cancel=cancel)
        if not parallel:
            return self.here.list(
                prefix, versions=versions, after=after, page=page, parallel=False, cancel=cancel
            )
        self.flow.shares = self.pool.slots()
        listing = DistributedListing(
            self, self.pool, cancel or self.cancel, prefix, versions=versions
        )
        return listing.list_objects(after)

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """HEAD of many."""
        return self._spread("head_many", items, (), cancel)

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copy within S3."""
        return self._spread("copy", items, (), cancel)

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copy what another role may read."""
        return self._spread("relay", items, (source,), cancel)

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Delete in batches."""
        return self._spread("delete", items, (bucket,), cancel, unchanged=unchanged)

    def _spread(
        self,
        method: str,
        items: Iterable[Any],
        more: tuple[Any, ...],
        cancel: Cancel,
        **options: Any,
    ) -> Iterator[Outcome]:
        settled: deque[Outcome] = deque()
        began = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        objects_a_task = KEYS_PER_DELETION if method == "delete" else OBJECTS_PER_TASK
        waves = self._waves(
            items,
            settled,
            lambda chosen: _Call(self, method, chosen, more, options, began),
            objects_a_task,
        )
        for results in self.pool.run(waves, cancel, f"rolerunner: {method} as {self.role}"):
            while settled:
                yield settled.popleft()
            for outcome in (outcome for outcomes in results for outcome in outcomes):
                if outcome.status == "done" and method in ("copy", "relay"):
                    self.flow.report_bytes(outcome.size)
                yield outcome

    def _waves(
        self,
        items: Iterable[Any],
        settled: deque[Outcome],
        part: Callable[[Sequence[Any]], DistributedTask],
        objects_a_task: int,
    ) -> Iterator[Sequence[bytes]]:
        """Waves of pickled parts, the largest first. Outcomes among the items are settled: they go to ``settled``."""
        rest = iter(items)
        while True:
            slots = self.flow.shares = self.pool.slots()
            tasks = (
                slots if self.flow.is_paced else slots * TASKS_PER_SLOT
            )  # a pace is kept only where no more run than share it
            drawn = _drawn(rest, tasks * objects_a_task, slots * BYTES_PER_SLOT, settled)
            if not drawn and not settled:
                return
            yield pickle_tasks([part(each) for each in balance_tasks(drawn, tasks)])

    # about one object, or this machine's files

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """Here."""
        return self.here.list_folder(prefix)

    def get_age(self, uri: S3Uri) -> Optional[float]:
        """Here."""
        return self.here.get_age(uri)

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """Here."""
        return self.here.head(uri, version)

    def get_part_size(self, uri: S3Uri, info: ObjectInfo) -> int:
        """Here."""
        return self.here.get_part_size(uri, info)

    def read(self, uri: S3Uri, limit: int, version: str = "") -> bytes:
        """Here."""
        return self.here.read(uri, limit, version)

    def read_range(
        self, uri: S3Uri, info: ObjectInfo, start: int, length: int, cancel: Optional[Cancel] = None
    ) -> bytes:
        """Here."""
        return self.here.read_range(uri, info, start, length, cancel)

    def describe(
        self, uri: S3Uri, version: str, *, tags: bool, replaced: Container[str] = ()
    ) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Here."""
        return self.here.describe(uri, version, tags=tags, replaced=replaced)

    def write(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool = False
    ) -> ObjectInfo:
        """Here."""
        return self.here.write(uri, data, options, repeated=repeated)

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Here: the files are to be on this machine."""
        return self.here.get(items, cancel)

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Here: the files are on this machine."""
        return self.here.put(items, cancel)


def _drawn(rest: Iterator[Any], most: int, most_bytes: int, settled: deque[Outcome]) -> list[Any]:
    drawn: list[Any] = []
    size = 0
    for item in rest:
        if isinstance(item, Outcome):
            settled.append(item)
        else:
            drawn.append(item)
            size += _size(item)
        if len(drawn) + len(settled) >= most or size >= most_bytes:
            break
    return drawn


def _size(item: Any) -> int:
    info = getattr(item, "info", None)
    return info.size if info is not None else 0


def balance_tasks(items: Sequence[T], parts: int) -> list[list[T]]:
    """The items in so many parts at most, of about the same cost in bytes and requests, the costliest first."""
    count = min(parts, len(items))
    hands: list[list[T]] = [[] for _ in range(count)]
    loads = [(0, number) for number in range(count)]
    for item in sorted(
        items, key=_size, reverse=True
    ):  # the largest first, each to whoever has least
        load, number = loads[0]
        hands[number].append(item)
        heapq.heapreplace(loads, (load + _size(item) + BYTES_PER_REQUEST, number))
    return [hands[number] for _, number in sorted(loads, key=lambda each: -each[0])]
