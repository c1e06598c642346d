"""How many files and sockets a process may have open, and how many of them each step may use."""

from __future__ import annotations

import contextlib
import os
import resource

from rolerunner.errors import UsageError

_OWN = 24
"""Open files of a run besides those of its transfers: logs, lists, STS, the forked processes."""
_WANTED = 800
"""What a step uses at most, with all connections that it may have."""
_LEAST = 12
"""What a step can do with."""


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
        raise UsageError(f"{limit:,} open files are allowed (ulimit -n), and this job needs {used + steps * _LEAST:,}: raise the limit{more}")
    return each


def _count_open() -> int:
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - their number alone
    except OSError:
        return 16


def _raise_limit(wanted: int) -> int:
    """The soft limit of open files, raised to ``wanted`` as far as the hard one lets it be."""
    soft, hard = (wanted if each == resource.RLIM_INFINITY else each for each in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < wanted and soft < hard:
        with contextlib.suppress(OSError, ValueError):
            raised = min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            return raised
    return soft
