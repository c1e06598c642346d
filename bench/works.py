"""Defines the works to measure, their sources, and the checks that they were done."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from null_server import HTTP, LATE, LATE_PAGES, TLS, Counts, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 16 << 10
LARGE = 2 << 30
COMPRESSED = ("gzip", "zstd")
"""Kinds of uploads that are compressed."""
_TEXT = 4 << 20
"""Bytes after which a text repeats, more than zstd looks back at level 3."""
_BLOCK = 1 << 20
"""Small, because the peak memory of a child includes what its parent holds at the fork."""


@dataclass(frozen=True)
class Work:
    """A measured work. ``peers`` and ``aws`` are the target ratios.

    ``kind`` is download, upload, list, copy, relay (a copy between two roles), verify (two sides
    compared by their listings), delete, gzip or zstd (an upload that is compressed), or pack.
    """

    name: str
    kind: str
    count: int
    size: int
    settings: tuple[Setting, ...] = (HTTP, TLS)
    peers: float = 1.0
    aws: float = 0.0

    @property
    def bytes(self) -> int:
        return self.count * self.size

    @property
    def is_large(self) -> bool:
        return self.count == 1

    @property
    def bucket(self) -> str:
        """Returns the bucket; its name tells the null server what it contains."""
        return f"{'l' if self.kind in ('list', 'verify') else 'b'}-{self.count}-{self.size}"

    @property
    def key(self) -> str:
        """Returns the key of a large object."""
        return "data/obj-00000000.bin"

    @property
    def title(self) -> str:
        what = (
            f"{self.size >> 30} GiB"
            if self.is_large and self.size >= 1 << 30
            else f"{self.size >> 20} MiB"
            if self.is_large
            else ""
        )
        are_listed = self.kind in ("list", "verify")
        what = what or f"{self.count:,} {'keys' if are_listed else f'x {self.size >> 10} KiB'}"
        return {
            "download": f"download {what}", "upload": f"upload {what}", "list": f"list {what}",
            "copy": f"copy {self.count:,} within S3",
            "relay": f"copy {what} between two roles", "delete": f"delete {self.count:,}",
            "verify": f"compare {what} of two roles",
            "gzip": f"upload {what} of text as gzip 6", "zstd": f"upload {what} of text as zstd 3",
            "pack": f"pack {what} into a tar",
        }[self.kind]  # fmt: skip


def works(*, quick: bool) -> tuple[Work, ...]:
    """Returns all works; with ``quick`` small ones, which test the benchmark."""
    found = (
        Work("download-small", "download", 10_000, SMALL, (HTTP, TLS, LATE), 1.3, 12),
        Work("download-many", "download", 100_000, SMALL, (HTTP, TLS, LATE), 1.8, 12),
        Work("upload-small", "upload", 10_000, SMALL, (HTTP, TLS, LATE), 1.3, 12),
        Work("download-large", "download", 1, LARGE, (HTTP, TLS, LATE), 1.0, 1.5),
        Work("upload-large", "upload", 1, LARGE, (HTTP, TLS, LATE), 1.2, 1.5),
        Work("list", "list", 1_000_000, SMALL, (HTTP, TLS), 3, 20),
        Work("list-late", "list", 1_000_000, SMALL, (LATE_PAGES,), 4, 0),
        Work("copy", "copy", 10_000, SMALL, (HTTP, TLS, LATE), 1.2, 10),
        Work("relay-small", "relay", 10_000, SMALL, (HTTP, TLS, LATE), 1.2),
        Work("relay-large", "relay", 1, LARGE, (HTTP, TLS), 1.2),
        Work("verify", "verify", 1_000_000, SMALL, (HTTP, TLS), 2),
        Work("compress-gzip", "gzip", 1, LARGE, (HTTP, TLS), 2),
        Work("compress-zstd", "zstd", 1, LARGE, (HTTP, TLS), 2),
        Work("pack", "pack", 10_000, SMALL, (HTTP, TLS), 2),
        Work("delete", "delete", 10_000, SMALL, (HTTP, TLS, LATE), 1.0, 5),
    )
    return tuple(_small(work) for work in found) if quick else found


def _small(work: Work) -> Work:
    return replace(work, size=64 << 20) if work.is_large else replace(work, count=work.count // 20)


def make_source(work: Work, folder: Path) -> Path:
    """Creates the files of an upload, once."""
    source = folder / f"source-{work.count}-{work.size}"
    if work.kind in COMPRESSED:
        source = source.with_name(f"{source.name}-text")
    if work.kind not in ("upload", *COMPRESSED) or source.exists():
        return source
    source.mkdir(parents=True)
    block = _make_text(_TEXT) if work.kind in COMPRESSED else os.urandom(min(work.size, _BLOCK))
    for number in range(work.count):
        with (source / f"obj-{number:08d}.bin").open("wb") as file:
            for start in range(0, work.size, len(block)):
                file.write(block[: work.size - start])
    return source


def _make_text(size: int) -> bytes:
    """Returns lines of numbers and words, which gzip makes four times smaller."""
    draw = random.Random(1)
    words = [f"{draw.getrandbits(28):x}" for _ in range(2000)]
    text = bytearray()
    while len(text) < size:
        fields = (draw.choice(words), draw.choice(words), f"{draw.random():.4f}", "delivered")
        text += f"2026-01-{draw.randint(1, 31):02},{','.join(fields)}\n".encode()
    return bytes(text[:size])


def problem(work: Work, counts: Counts, target: Path) -> str:
    """Returns why the work is incomplete, by the server's counts and the target, or ''."""
    wanted = {
        "download": counts.gets >= work.count,
        "upload": counts.puts >= work.count and counts.bytes_in >= work.bytes,
        "list": counts.keys >= work.count,
        "copy": counts.copies >= work.count,
        "relay": counts.gets >= work.count
        and counts.puts >= work.count
        and counts.bytes_in >= work.bytes,
        "verify": counts.keys >= 2 * work.count,
        "pack": counts.gets >= work.count and counts.bytes_in >= work.bytes,
        **dict.fromkeys(COMPRESSED, work.bytes // 8 <= counts.bytes_in < work.bytes),
        "delete": counts.deletes >= -(-work.count // 1000),
    }[work.kind]
    if not wanted:
        return f"the server saw {counts}"
    if work.kind == "download":
        sizes = list(_sizes(target))
        if sizes != [work.size] * work.count:
            return f"{len(sizes):,} files of {sum(sizes):,} bytes lie there"
    return ""


def _sizes(folder: Path) -> Iterator[int]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _sizes(Path(entry.path))
        else:
            yield entry.stat().st_size
