"""Defines the works to measure, their sources, and the checks that they were done."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from null_server import HTTP, LATE, LATE_PAGES, SUITE, THOUSANDTHS, TLS, Counts, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 16 << 10
LARGE = 2 << 30
PARTS_FROM = 16 << 20
"""Size in bytes from which tools are told to transfer objects in parts."""
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
    compared by their listings), mirror (a copy whose target has everything), delete, gzip or zstd
    (an upload that is compressed), or pack. The sizes of ``is_varied`` objects differ, and ``size``
    is their mean.
    """

    name: str
    kind: str
    count: int
    size: int
    settings: tuple[Setting, ...] = (HTTP, TLS)
    peers: float = 1.0
    aws: float = 0.0
    is_varied: bool = False

    def sizes(self) -> Iterator[int]:
        """Yields the size of each object."""
        for number in range(self.count):
            yield (
                self.size * THOUSANDTHS[number % len(THOUSANDTHS)] // 1000
                if self.is_varied
                else self.size
            )

    @property
    def bytes(self) -> int:
        return sum(self.sizes())

    @property
    def is_large(self) -> bool:
        return self.size >= PARTS_FROM

    @property
    def bucket(self) -> str:
        """Returns the bucket; its name tells the null server what it contains."""
        letter = "v" if self.is_varied else "l" if self.kind in ("list", "verify") else "b"
        return f"{letter}-{self.count}-{self.size}"

    @property
    def noun(self) -> str:
        """Returns the kind of work, as a table of growth names it."""
        return {
            "list": "list", "delete": "delete", "copy": "copy within S3",
            "mirror": "mirror, nothing changed", "verify": "compare two roles",
        }[self.kind]  # fmt: skip

    @property
    def mirror(self) -> str:
        """Returns another bucket that contains the same."""
        return f"b-{self.count}-0{self.size}"

    @property
    def key(self) -> str:
        """Returns the key of a large object."""
        return "data/obj-00000000.bin"

    @property
    def title(self) -> str:
        size = f"{_format_size(self.size)}{' on average' if self.is_varied else ''}"
        what = size if self.count == 1 else f"{self.count:,} x {size}"
        if self.kind in ("list", "verify"):
            what = f"{self.count:,} keys"
        return {
            "mirror": f"mirror {self.count:,}, none of which changed",
            "download": f"download {what}", "upload": f"upload {what}", "list": f"list {what}",
            "copy": f"copy {self.count:,} within S3",
            "relay": f"copy {what} between two roles", "delete": f"delete {self.count:,}",
            "verify": f"compare {what} of two roles",
            "gzip": f"upload {what} of text as gzip 6", "zstd": f"upload {what} of text as zstd 3",
            "pack": f"pack {what} into a tar",
        }[self.kind]  # fmt: skip


def _format_size(size: int) -> str:
    return next(
        f"{size >> shift} {unit}"
        for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "bytes"))
        if size >> shift
    )


_SUITE = {
    "256KiB-10_000x": Work("", "", 10_000, 256 << 10),
    "64KiB-1_000x": Work("", "", 1_000, 64 << 10),
    "5GiB-1x": Work("", "", 1, 5 << 30),
    "5GiB-10x": Work("", "", 10, 512 << 20),
    # 30,607 images; the suite's shards of it hold 38 KiB for each, besides the headers of tar
    "Caltech256": Work("", "", 30_607, 38 << 10, is_varied=True),
}
"""Workloads of awslabs/aws-crt-s3-benchmarks by their names; 50 GiB are scaled to 5."""


def _suite_works() -> Iterator[Work]:
    for name, work in _SUITE.items():
        for kind in ("download", "upload"):
            yield replace(work, name=f"{kind}-{name}", kind=kind, settings=(SUITE,))


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
        Work("delete-few", "delete", 1_000, SMALL, (HTTP,), 0.8),
        Work("delete", "delete", 10_000, SMALL, (HTTP, TLS, LATE), 1.2, 5),
        Work("delete-many", "delete", 100_000, SMALL, (HTTP,), 2.5),
        Work("delete-most", "delete", 1_000_000, SMALL, (HTTP,), 3),
        *_suite_works(),
    )
    return tuple(_small(work) for work in found) if quick else found


def _small(work: Work) -> Work:
    if work.is_large:
        return replace(work, size=64 << 20 if work.count == 1 else PARTS_FROM)
    return replace(work, count=work.count // 20)


def make_source(work: Work, folder: Path) -> Path:
    """Creates the files of an upload, once."""
    source = folder / f"source-{work.bucket}"
    if work.kind in COMPRESSED:
        source = source.with_name(f"{source.name}-text")
    if work.kind not in ("upload", *COMPRESSED) or source.exists():
        return source
    source.mkdir(parents=True)
    block = _make_text(_TEXT) if work.kind in COMPRESSED else os.urandom(_BLOCK)
    for number, size in enumerate(work.sizes()):
        with (source / f"obj-{number:08d}.bin").open("wb") as file:
            for start in range(0, size, len(block)):
                file.write(block[: size - start])
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
        "mirror": counts.keys >= 2 * work.count and not counts.copies,
        "pack": counts.gets >= work.count and counts.bytes_in >= work.bytes,
        **dict.fromkeys(COMPRESSED, work.bytes // 8 <= counts.bytes_in < work.bytes),
        "delete": counts.deletes >= -(-work.count // 1000),
    }[work.kind]
    if not wanted:
        return f"the server saw {counts}"
    if work.kind == "download":
        sizes = sorted(_sizes(target))
        if sizes != sorted(work.sizes()):
            return f"{len(sizes):,} files of {sum(sizes):,} bytes lie there"
    return ""


def _sizes(folder: Path) -> Iterator[int]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _sizes(Path(entry.path))
        else:
            yield entry.stat().st_size
