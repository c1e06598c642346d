"""How large parts are, how many go at once, and how much memory they may hold together."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_PARTS = 10_000
"""S3 takes no more parts in one upload (S3 user guide, multipart limits)."""
KEYS_PER_DELETE = 1000
"""Keys in one DeleteObjects (S3 API reference)."""
MIB = 1 << 20
_TURNS = 4
_MOST_RANGE = 128 * MIB
"""A range that breaks off is fetched again from its beginning."""
DEFAULT_MEMORY = 250_000_000
"""Bytes that the processes of a run together stay below where the spec says nothing."""
RUNNER_MEMORY = 96 * MIB
"""What one process holds besides its transfers, or two that share most of it: Python, boto3, the spec; measured."""
WORKER_MEMORY = 24 * MIB
"""What each further process holds of its own; measured."""


@dataclass(frozen=True)
class Limits:
    """How many descriptors and threads a step may use; 0 threads: as many as it likes."""

    descriptors: int
    threads: int = 0


@dataclass(frozen=True)
class Tuning:
    """Sizes are in bytes. The defaults keep the process below 250 MB."""

    memory: int = 128 * MIB
    """What is in flight holds at most: one half for parts, one for small objects."""
    large: int = 16 * MIB
    """Objects of so many bytes and more go in ranges or parts."""
    part: int = 16 * MIB
    """Of a range or part."""
    parts_at_once: int = 8
    """Ranges and parts in flight, of all objects together."""
    workers: int = 16
    """Objects in flight in the plain engine, and threads that look at files in the fast one."""
    connections: int = 128
    """Connections of each process to one host in the fast engine."""
    processes: int = 1
    """That share the memory, and the parts at once."""

    def choose_range_size(self, size: int) -> int:
        """Bytes of a range of a download, which memory does not hold: so many that a thread waits a few times for a first byte."""
        return max(self.part, min(size // (self.parts_at_once * _TURNS) >> 20 << 20, _MOST_RANGE))

    @classmethod
    def for_memory(
        cls, whole: int = DEFAULT_MEMORY, at_once: int = 1, processes: int = 1
    ) -> Tuning:
        """For processes that are to stay below so many bytes together, where so many steps may move objects at once."""
        free = max(
            (whole - RUNNER_MEMORY - max(processes - 2, 0) * WORKER_MEMORY) // at_once, 8 * MIB
        )
        if free >= 120 * MIB:
            return cls(memory=min(free - 12 * MIB, 1024 * MIB), processes=processes)
        part = 8 * MIB if free >= 32 * MIB else 5 * MIB  # S3 takes no smaller parts but the last
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
        """With no more connections and threads than the limits of the process allow.

        An object in flight may have a connection, a file and its folder; a thread of the plain engine a second file as well.
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
    """Bytes of a part: as wanted, or so many more that 10,000 parts hold the object, in whole MiB."""
    least = -(-size // MAX_PARTS)
    return max(wanted, -(-least // MIB) << 20)
