"""Blocking calls of tasks, run in threads that wake the event loop when they are finished."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from rolerunner.storage.http.tasks import BlockingCall


class BlockingCalls:
    """The calls of one event loop. ``finished`` holds tasks, and the futures of their calls."""

    def __init__(self, selector: selectors.BaseSelector, threads: int) -> None:
        self.finished: deque[tuple[Any, Any]] = deque()
        self._small = ThreadPool(threads, thread_name_prefix="rolerunner-call")
        self._large = ThreadPool(4, thread_name_prefix="rolerunner-large")
        self._wake_sender, self._wake_receiver = socket.socketpair()
        self._wake_sender.setblocking(False)
        self._wake_receiver.setblocking(False)
        selector.register(self._wake_receiver, selectors.EVENT_READ, None)

    def submit(self, task: Any, call: BlockingCall) -> None:
        """Starts the call of a task in a thread."""

        def finish(future: Any) -> None:
            """Wakes the loop, from the thread that ran the call."""
            if future.cancelled():
                return
            self.finished.append((task, future))
            try:
                self._wake_sender.send(b"\0")
            except OSError:
                return  # the buffer is full, so the loop wakes anyway; or the loop is closed

        pool = self._large if call.large else self._small
        pool.submit(call.call).add_done_callback(finish)

    def drain_wake_ups(self) -> None:
        """Reads what woke the loop."""
        try:
            while self._wake_receiver.recv(4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Waits for large calls; a small call may hang, and changes nothing."""
        self._small.shutdown(wait=False, cancel_futures=True)
        self._large.shutdown(wait=True, cancel_futures=True)
        self._wake_sender.close()
        self._wake_receiver.close()
