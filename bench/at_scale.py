"""Multiplies the measured figures to a billion objects and to a large one, beside S3's limits."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measure import table

sys.path.insert(0, str(Path(__file__).parents[1] / "framework"))
from rolerunner.storage.protocol import Copy, make_object_info
from rolerunner.storage.sorting import object_line
from rolerunner.storage.tuning import KEYS_PER_DELETE, MAX_PARTS, Tuning, choose_part_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from results import Results

READS, WRITES = 5_500, 3_500
"""GET and HEAD, and PUT, COPY, POST and DELETE, a second and prefix (S3 user guide)."""
KEYS_PER_PAGE = 1_000
LARGEST_PART = 5 << 30
"""Bytes of a part, copied or uploaded (S3 user guide, multipart limits)."""
OBJECTS, SIZE = 10**9, 16 << 10
LARGE = 5 << 40
WORKERS = (10, 100)
CORES = 4
"""vCPUs of a G.1X, which is one DPU (AWS Glue, worker types)."""
DISK = 94 * 10**9
"""Bytes of the disk of a G.1X."""
NETWORK = 1.25
"""Gbit/s that a G.1X is assumed to keep up, as AWS documents none: an m5.xlarge's baseline."""

SCALE = """Nothing here was measured at this size: the figures above are multiplied, as if a vCPU
were a core of the machine above, and compared with the limits of S3: {reads:,} GET or HEAD and
{writes:,} PUT, COPY, POST or DELETE a second for each prefix, {page:,} keys a page of a listing,
{batch:,} keys a DeleteObjects (of which each key is counted here), {parts:,} parts of an object,
{part} GiB a part. A G.1X has {cores} vCPUs. The slower of CPU and S3 decides; "prefixes" is how
many S3 must have split the keys into before {most} workers wait for their own CPUs. S3 splits
prefixes by itself under load, and answers 503 until then, which lowers the rate of requests.
"""


@dataclass(frozen=True)
class _Row:
    """A work: CPU seconds an object, and its reads and writes an object."""

    name: str
    cpu: float
    reads: float
    writes: float

    def hours_of_cpu(self, workers: int) -> float:
        return self.cpu * OBJECTS / (workers * CORES) / 3600

    @property
    def hours_of_s3(self) -> float:
        """Hours at the rates of one prefix."""
        return max(self.reads / READS, self.writes / WRITES) * OBJECTS / 3600


def scale_section(results: Results) -> Iterator[str]:
    """Yields the parts of the page on sizes that were not measured."""
    rows = list(_rows(results))
    if not rows:
        return
    yield "## A billion objects, and one of 5 TiB, on paper\n"
    yield SCALE.format(
        reads=READS, writes=WRITES, page=KEYS_PER_PAGE, batch=KEYS_PER_DELETE, parts=MAX_PARTS,
        part=LARGEST_PART >> 30, cores=CORES, most=WORKERS[-1],
    )  # fmt: skip
    yield table(
        [
            f"{OBJECTS:,} objects of {SIZE >> 10} KiB", "CPU hours", "hours, S3 at one prefix",
            *(f"hours of CPU on {n} G.1X" for n in WORKERS), "prefixes",
        ],
        (
            [
                row.name, f"{row.cpu * OBJECTS / 3600:,.1f}", f"{row.hours_of_s3:,.1f}",
                *(f"{row.hours_of_cpu(n):,.2f}" for n in WORKERS),
                f"{max(1, math.ceil(row.hours_of_s3 / row.hours_of_cpu(WORKERS[-1]))):,}",
            ]
            for row in rows
        ),
    )  # fmt: skip
    yield _notes()
    yield from _large_object(results)


def _rows(results: Results) -> Iterator[_Row]:
    """Yields the works that can be distributed, as far as they were measured."""
    known = {each.work: each.per_object for each in results.growth}
    page = 1 / KEYS_PER_PAGE
    if "list" in known:
        yield _Row("list", known["list"], page, 0)
    if "delete" in known:
        yield _Row("delete, listing included", known["delete"], page, 1)
    if "copy" in known:
        yield _Row("copy within S3, listing included", known["copy"], page, 1)
    relay = results.of("relay-small", "tls").get("rolerunner")
    if relay is not None:
        cpu = relay.median.cpu / 10_000
        yield _Row("copy between two roles, TLS, start included", cpu, 1 + page, 1)


def _notes() -> str:
    key = f"warehouse/orders/dt=2026-01-31/part-00000-{'0' * 32}.parquet"
    info = make_object_info(
        {"key": key, "size": SIZE, "etag": "0" * 32, "modified": "2026-01-31T00:00:00Z"}
    )
    line = len(object_line(info))
    most = DISK // (2 * line)
    return (
        f"* A list takes {line} bytes an object on the driver's disk for a key of {len(key)} "
        "characters, and the outcomes as many: "
        f"{2 * line * OBJECTS / 1e9:,.0f} GB for all. The disk of a G.1X has {DISK / 1e9:.0f} GB, "
        f"so a step takes {most / 1e6:,.0f} million such objects at most: take a prefix at a time "
        "with `for_each`, or larger workers.\n"
        "* The driver's own work, which moves blocks of lines, is not in these figures; "
        "bench/spark.py measures it.\n"
        "* `s3.verify` and the comparison of a mirror run on one machine.\n"
    )


def _large_object(results: Results) -> Iterator[str]:
    copied = choose_part_size(LARGE, Copy.part)
    sent = choose_part_size(LARGE, Tuning().part)
    rows = [
        [
            "copy within S3",
            f"{copied >> 20:,} MiB",
            f"{-(-LARGE // copied):,}",
            "",
            *("" for _ in WORKERS),
        ]
    ]
    relay = results.of("relay-large", "tls").get("rolerunner")
    if relay is not None:
        cpu = relay.median.cpu / 2 * (LARGE >> 30)
        times = (
            f"{cpu / (n * CORES) / 60:,.1f} / {LARGE * 8 / (n * NETWORK * 1e9) / 60:,.0f}"
            for n in WORKERS
        )
        rows.append(
            [
                "copy between two roles, TLS", f"{sent >> 20:,} MiB", f"{-(-LARGE // sent):,}",
                f"{cpu / 3600:,.1f}", *times,
            ]
        )  # fmt: skip
    yield table(
        [
            "an object of 5 TiB", "a part", "parts", "CPU hours",
            *(f"minutes of CPU / of network on {n} G.1X" for n in WORKERS),
        ],
        rows,
    )  # fmt: skip
    yield (
        f"* There are at most {MAX_PARTS:,} parts of at most {LARGEST_PART >> 30} GiB, so those of "
        f"5 TiB have {-(-LARGE // MAX_PARTS >> 20):,} MiB at least. In a copy within S3, S3 moves "
        "the bytes at a speed that was not measured; the CPU time of its requests is negligible.\n"
        f"* The network is assumed to give a worker {NETWORK:g} Gbit/s each way all the time; "
        "AWS documents no figure for a G.1X.\n"
    )
