"""Lines of JSON for objects and outcomes, as manifests hold them, and blocks of such lines.

Workers of a cluster take and return blocks: the machine that distributes the work moves bytes, and
creates no value for each object.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.redaction.redact import redact_text
from rolerunner.storage.protocol import ObjectInfo, Outcome, make_object_info
from rolerunner.storage.sorting import object_line

MakeItems = Callable[[Iterable[ObjectInfo]], Iterable[Any]]
"""Makes the items of an operation from objects; it can be pickled."""
_NAMES = frozenset(each.name for each in dataclasses.fields(ObjectInfo))
_text = json.encoder.encode_basestring_ascii
_SIZE = re.compile(rb'"size": (\d+)')
_NAMED_FAILURES = 3
"""Failed outcomes that a block names."""
_LEVEL = 1
"""zlib's fastest level, which makes lines five times smaller."""
_STATUS = '"status": '
"""In lines of outcomes alone: a quote inside of a text follows a backslash."""
_PARSED_AT_ONCE = 128
"""Lines that are parsed together, which takes half the time of one after the other."""


def parse_object_lines(lines: Iterable[str]) -> Iterator[ObjectInfo]:
    """Yields the objects of lines, without those whose outcome is a failure."""
    rest = iter(lines)
    for some in iter(lambda: list(islice(rest, _PARSED_AT_ONCE)), []):
        text = ",".join(some)
        found = json.loads(f"[{text}]")
        if _STATUS in text:
            found = [_without_outcome(read) for read in found if read.get("status") != "failed"]
        yield from map(make_object_info, found)


def _without_outcome(read: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in read.items() if name in _NAMES}


def outcome_line(outcome: Outcome, bucket: str) -> str:
    """Returns an outcome as a line of JSON; its bucket is left out if it is ``bucket``."""
    uri, info = outcome.uri, outcome.info
    line = f'{{"key": {_text(uri.key)}, "size": {outcome.size}, "status": "{outcome.status}"'
    if uri.bucket != bucket:
        line += f', "bucket": {_text(uri.bucket)}'
    if outcome.etag:
        line += f', "etag": {_text(outcome.etag)}'
    if outcome.version:
        line += f', "version": {_text(outcome.version)}'
    if info is not None and info.checksum:
        line += f', "checksum": {_text(info.checksum)}'
    if outcome.path is not None:
        line += f', "path": {_text(str(outcome.path))}'
    if outcome.source is not None:
        line += f', "source": {_text(str(outcome.source))}'
    if outcome.error is not None and outcome.error.message:
        line += f', "reason": {_text(redact_text(outcome.error.message))}'
    return line + "}\n"


@dataclass(frozen=True)
class ListedBlock:
    """Objects of a listing in the order of keys, as compressed lines."""

    packed: bytes
    count: int
    bytes: int
    first_key: str
    last_key: str
    latest: Optional[ObjectInfo]
    """The object that was modified last, the first of several; None if all are delete markers."""

    def unpack(self) -> str:
        """Returns the lines."""
        return zlib.decompress(self.packed).decode("ascii")

    def iterate_objects(self) -> Iterator[ObjectInfo]:
        """Yields the objects."""
        return parse_object_lines(split_lines(self.unpack()))


def pack_objects(objects: Sequence[ObjectInfo]) -> list[ListedBlock]:
    """Returns the objects as one block; none if there are none."""
    if not objects:
        return []
    lines = "".join(map(object_line, objects))
    block = ListedBlock(
        pack_lines(lines),
        len(objects),
        sum(info.size for info in objects),
        objects[0].key,
        objects[-1].key,
        find_latest(objects),
    )
    return [block]


def find_latest(objects: Iterable[ObjectInfo]) -> Optional[ObjectInfo]:
    """Returns the object that was modified last, the first of several; no delete marker."""
    return max(
        [info for info in objects if not info.deleted], key=attrgetter("modified"), default=None
    )


@dataclass(frozen=True)
class OutcomeBlock:
    """The outcomes of many objects: their lines, and sums of them."""

    packed: bytes
    done: int
    skipped: int
    failed: int
    bytes: int
    """Bytes of those that are done."""
    kept_bytes: int
    """Bytes of those that did not fail."""
    failures: tuple[Outcome, ...]
    """The first of those that failed."""

    @property
    def count(self) -> int:
        """The number of outcomes."""
        return self.done + self.skipped + self.failed

    def unpack(self) -> str:
        """Returns the lines."""
        return zlib.decompress(self.packed).decode("ascii")


def pack_outcomes(outcomes: Sequence[Outcome], bucket: str) -> OutcomeBlock:
    """Returns outcomes as a block; ``bucket`` is that of the manifest."""
    failures = [each for each in outcomes if each.error is not None]
    skipped = [each for each in outcomes if each.error is None and each.status == "skipped"]
    kept = sum(each.size for each in outcomes if each.error is None)
    lines = "".join(outcome_line(each, bucket) for each in outcomes)
    return OutcomeBlock(
        pack_lines(lines),
        len(outcomes) - len(failures) - len(skipped),
        len(skipped),
        len(failures),
        kept - sum(each.size for each in skipped),
        kept,
        tuple(failures[:_NAMED_FAILURES]),
    )


def join_blocks(blocks: Sequence[OutcomeBlock]) -> OutcomeBlock:
    """Returns the outcomes of several blocks as one."""
    return OutcomeBlock(
        pack_lines("".join([block.unpack() for block in blocks])),
        sum(block.done for block in blocks),
        sum(block.skipped for block in blocks),
        sum(block.failed for block in blocks),
        sum(block.bytes for block in blocks),
        sum(block.kept_bytes for block in blocks),
        tuple(failure for block in blocks for failure in block.failures)[:_NAMED_FAILURES],
    )


def pack_lines(lines: str, level: int = _LEVEL) -> bytes:
    """Returns lines as blocks hold them; level 0 is for blocks that stay in this process."""
    return zlib.compress(lines.encode("ascii"), level)


def split_lines(text: str) -> list[str]:
    """Splits lines of JSON, which have no line break inside."""
    return text.split("\n")[:-1] if text else []


@dataclass(frozen=True)
class ItemBlocks:
    """Items that workers make from the lines of a manifest, whatever their number."""

    path: Path
    count: int
    size: int
    """The bytes of all objects."""
    make_items: MakeItems
    bucket: str
    """The bucket that lines of outcomes leave out."""

    def read_lines(self) -> Iterator[bytes]:
        """Yields the lines."""
        with self.path.open("rb", buffering=1 << 16) as lines:
            yield from lines


def measure_line(line: bytes) -> int:
    """Returns the size of the object of a line."""
    found = _SIZE.search(line)
    return int(found.group(1)) if found else 0
