"""How many open files and threads a process may have, and how many of them each step may use."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

from rolerunner.errors import UsageError
from rolerunner.storage.tuning import MIB, Limits

_OWN = 24
"""Open files of a run besides those of its transfers: logs, lists, STS, the forked processes."""
_WANTED = 800
"""What a step uses at most, with all connections that it may have."""
_LEAST = 12
"""What a step can do with."""
_THREAD = 80 * MIB
"""Address space that a thread reserves: 8 MiB for its stack, 64 MiB for an arena of glibc's malloc."""


def limits_per_step(steps: int) -> Limits:
    """What each of so many steps that run at once may use. Raises UsageError where it is too little to work with."""
    return Limits(descriptors_per_step(steps), _threads_per_step(steps))


def _threads_per_step(steps: int) -> int:
    """How many threads fit into the address space (``ulimit -v``); 0 where it has no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return 0
    used = 256 * MIB
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return max(1, (soft - used) // _THREAD // steps)


def descriptors_per_step(steps: int) -> int:
    """How many descriptors each of so many steps that run at once may use.

    The soft limit (``ulimit -n``) is raised towards the hard one where it is too low for all connections.
    Raises UsageError where it stays so low that no step can work.
    """
    used = _count_open() + _OWN
    limit = _raise_limit(used + steps * _WANTED)
    each = (limit - used) // steps
    if each < _LEAST:
        more = ", or lower 'max_parallel'" if steps > 1 else ""
        raise UsageError(
            f"{limit:,} open files are allowed (ulimit -n), and this job needs {used + steps * _LEAST:,}: raise the limit{more}"
        )
    return each


def _count_open() -> int:
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - their number alone
    except OSError:
        return 16


def _raise_limit(wanted: int) -> int:
    """The soft limit of open files, raised to ``wanted`` as far as the hard one lets it be."""
    soft, hard = (
        wanted if each == resource.RLIM_INFINITY else each
        for each in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if soft < wanted and soft < hard:
        with contextlib.suppress(OSError, ValueError):
            raised = min(wanted, hard)
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (raised, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            )
            return raised
    return soft
