"""Sizes of parts, numbers of concurrent transfers, and the memory that they may hold."""

from __future__ import annotations

from dataclasses import replace

from rolerunner.lazy_dataclass import dataclass

MAX_PARTS = 10_000
"""Maximum number of parts of an upload (S3 user guide, multipart limits)."""
KEYS_PER_DELETE = 1000
"""Maximum number of keys in one DeleteObjects (S3 API reference)."""
MIB = 1 << 20
_RANGES_PER_THREAD = 4
_MAX_RANGE = 128 * MIB
"""A range that fails is downloaded again from its beginning."""
DEFAULT_MEMORY = 250_000_000
"""Memory limit for all processes of a run, in bytes, if the spec has none."""
RUNNER_MEMORY = 96 * MIB
"""Memory of one process, or of two that share most of it, besides transfers: Python, boto3, the
spec; measured.
"""
WORKER_MEMORY = 24 * MIB
"""Memory of each further process; measured."""


@dataclass(frozen=True)
class Limits:
    """Numbers of file descriptors and threads that a step may use. 0 threads means no limit."""

    descriptors: int
    threads: int = 0


@dataclass(frozen=True)
class Tuning:
    """Sizes and numbers of transfers. Sizes are in bytes.

    The defaults keep the process below 250 MB.
    """

    memory: int = 128 * MIB
    """Memory for transfers: one half for parts, one for small objects."""
    large: int = 16 * MIB
    """Objects of at least this size are transferred in ranges or parts."""
    part: int = 16 * MIB
    """Size of a range or part."""
    parts_at_once: int = 8
    """Number of ranges and parts in flight, of all objects together."""
    workers: int = 16
    """Objects in flight in the boto engine; threads for blocking calls in the native engine."""
    connections: int = 128
    """Connections of each process to one host in the native engine."""
    processes: int = 1
    """Number of processes that share the memory and the parts in flight."""

    def choose_range_size(self, size: int) -> int:
        """Returns the size of a download's ranges, of which each thread downloads a few."""
        return max(
            self.part,
            min(size // (self.parts_at_once * _RANGES_PER_THREAD) >> 20 << 20, _MAX_RANGE),
        )

    @classmethod
    def for_memory(
        cls, whole: int = DEFAULT_MEMORY, at_once: int = 1, processes: int = 1
    ) -> Tuning:
        """Returns the tuning for ``processes`` below ``whole`` bytes, with ``at_once`` steps."""
        free = max(
            (whole - RUNNER_MEMORY - max(processes - 2, 0) * WORKER_MEMORY) // at_once, 8 * MIB
        )
        if free >= 120 * MIB:
            return cls(memory=min(free - 12 * MIB, 1024 * MIB), processes=processes)
        part = 8 * MIB if free >= 32 * MIB else 5 * MIB  # the minimum size of a part is 5 MiB
        return cls(
            memory=free * 3 // 4,
            large=part,
            part=part,
            parts_at_once=4,
            workers=8,
            connections=64,
            processes=processes,
        )

    def apply_limits(self, limits: Limits) -> Tuning:
        """Returns the tuning with connections and threads that the limits of the process allow.

        An object in flight may use a connection, a file and its folder; a thread of the boto engine
        a second file too.
        """
        files, threads = limits.descriptors, limits.threads or 4 * self.workers
        parts = max(1, min(self.parts_at_once, files // 12, threads // 4))
        connections = max(1, min(self.connections, (files - 4 * parts) // 5))
        return replace(
            self,
            parts_at_once=parts,
            workers=max(1, min(self.workers, files // 6, threads // 4)),
            connections=connections,
        )


def choose_part_size(size: int, wanted: int) -> int:
    """Returns the size of a part: ``wanted``, or in whole MiB as much as 10,000 parts need."""
    least = -(-size // MAX_PARTS)
    return max(wanted, -(-least // MIB) << 20)
