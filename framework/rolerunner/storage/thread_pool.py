"""A thread pool that works with fewer threads if the machine allows no more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


class ThreadPool(ThreadPoolExecutor):
    """A ThreadPoolExecutor that fails only if its first thread cannot start (``ulimit -u``)."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise
