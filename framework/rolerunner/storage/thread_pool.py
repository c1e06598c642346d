"""A pool of threads that gets by with fewer of them where the machine allows no more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


class ThreadPool(ThreadPoolExecutor):
    """As ThreadPoolExecutor; a thread that cannot be started (``ulimit -u``, ``ulimit -v``) is an error only where it would be the first."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise
