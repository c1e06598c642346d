"""Limits of the process on open files and threads, divided among the steps."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

from rolerunner.errors import UsageError
from rolerunner.storage.tuning import MIB, Limits

_RESERVED = 24
"""Open files of a run besides its transfers: logs, lists, STS, forked processes."""
_MAX_PER_STEP = 800
"""Maximum number of files that a step uses, with all its connections."""
_MIN_PER_STEP = 12
"""Minimum number of files that a step needs."""
_THREAD_SIZE = 80 * MIB
"""Address space that a thread reserves: 8 MiB for its stack, 64 MiB for an arena of glibc's malloc.
"""


def limits_per_step(steps: int) -> Limits:
    """Returns the limits of each of ``steps`` concurrent steps.

    Raises UsageError if they are too low to work with.
    """
    return Limits(descriptors_per_step(steps), _threads_per_step(steps))


def _threads_per_step(steps: int) -> int:
    """Returns how many threads fit into the address space (``ulimit -v``); 0 if it has no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return 0
    used = 256 * MIB
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return max(1, (soft - used) // _THREAD_SIZE // steps)


def descriptors_per_step(steps: int) -> int:
    """Returns how many file descriptors each of ``steps`` concurrent steps may use.

    Raises the soft limit (``ulimit -n``) towards the hard one if it is too low for all connections.
    Raises UsageError if no step can work with it.
    """
    used = _count_open() + _RESERVED
    limit = _raise_limit(used + steps * _MAX_PER_STEP)
    each = (limit - used) // steps
    if each < _MIN_PER_STEP:
        more = ", or lower 'max_parallel'" if steps > 1 else ""
        raise UsageError(
            f"{limit:,} open files are allowed (ulimit -n), and this job needs "
            f"{used + steps * _MIN_PER_STEP:,}: raise the limit{more}"
        )
    return each


def _count_open() -> int:
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - their number alone
    except OSError:
        return 16


def _raise_limit(wanted: int) -> int:
    """Raises the soft limit of files towards ``wanted``, within the hard one, and returns it."""
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
