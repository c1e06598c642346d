"""A listing whose pages come side by side: the key space is cut into spans on the way, so that a page's latency is paid once.

S3 gives a thousand keys a page, and the next page only to who knows where the last one ended. But a page can begin after
any key (``start-after``), whether there is such a key or not. So after a page that ends with ``part-00001999`` the keys
after ``part-0000~``, ``part-0001~`` and so on are asked for too: what shares the page's own beginning is left out at ever
earlier places. Spans that turn out empty cost one request; the others are cut again where they go on. Objects come out in
the order of keys all the same, and what is fetched ahead of them is bounded.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import ServiceFailed
from rolerunner.keyspace import KeyRange, OrderedRanges, split_by_guessing
from rolerunner.storage.responses import MAX_EMPTY_PAGES, PaginationGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.storage.http.list_parser import ListPage
    from rolerunner.storage.protocol import ObjectInfo

MAX_REQUESTS = 24
"""Pages at a time. S3 takes 5,500 requests a second per prefix; these are some hundred of them."""
_NEAR_SECONDS = 0.02
"""Seconds of a page's latency below which a few at once are enough, and small spans cost more than they bring."""
_MAX_REQUESTS_NEAR = 4
MAX_RANGES = 64
"""Spans that are known ahead."""
_PAGES_BEFORE_SPLIT = 2
"""So many pages come one after the other before anything is cut: most listings are short."""
_MAX_EMPTY_RANGES = 64
"""Empty spans that are put up with, beyond one for each page that was not."""
_MAX_BUFFERED_PAGES = 8
"""Pages that the nearest spans may have pop_objects; those farther on fewer, since they are wanted later."""


class UnorderedListing(Exception):
    """The server does not begin after the key that it is told, or has no order: pages must come one after the other."""


class RangeCursor:
    """The progress of a listing through one range of keys."""

    __slots__ = (
        "guard",
        "is_done",
        "is_requested",
        "key_range",
        "last",
        "page_count",
        "pages",
        "requested_at",
        "token",
    )

    def __init__(self, key_range: KeyRange) -> None:
        self.key_range = key_range
        self.token: Optional[str] = None
        self.last = key_range.after
        """The last key listed so far."""
        self.pages: deque[ListPage] = deque()
        """Pages that are parsed but not yet yielded."""
        self.is_requested = False
        self.requested_at = 0.0
        self.is_done = False
        self.page_count = 0
        self.guard = PaginationGuard()


class Listing:
    """The spans of one listing, in order. ``request`` begins a request for a cursor's next page; its end is told to ``add_page``."""

    def __init__(
        self,
        prefix: str,
        request: Callable[[RangeCursor], None],
        memory: int,
        *,
        splits: bool = True,
        after: str = "",
    ) -> None:
        self._prefix = prefix
        self._request = request
        self._memory = memory
        self._ranges = OrderedRanges(RangeCursor(KeyRange(after)))
        self._buffered = self._requests = self._empty_ranges = self._useful_pages = 0
        self._page_size = 1
        self._splits = splits
        self.latency = float("inf")
        """Seconds that the quickest page add_page."""
        self.yielded = 0
        """Objects that have come out."""

    @property
    def _is_distant(self) -> bool:
        return self.latency > _NEAR_SECONDS

    def request_pages(self) -> None:
        """Ask for what is next, the nearest first, as far as memory and the number of requests at once allow."""
        for index, cursor in enumerate(self._ranges):
            ahead = self._buffered + self._requests * self._page_size
            if self._requests >= (MAX_REQUESTS if self._is_distant else _MAX_REQUESTS_NEAR) or (
                index > 0 and ahead > self._memory
            ):
                return
            if (
                not cursor.is_requested
                and not cursor.is_done
                and len(cursor.pages) <= (_MAX_BUFFERED_PAGES >> (index // 8))
            ):
                cursor.is_requested = True
                cursor.requested_at = time.monotonic()
                self._requests += 1
                self._request(cursor)

    def add_page(self, cursor: RangeCursor, page: ListPage) -> None:
        """A page has come: what is new in it, where its cursor goes on, and where it can be cut. Raises UnorderedListing, ServiceFailed."""
        self._check_page(cursor, page)
        cursor.is_requested = False
        self.latency = min(self.latency, time.monotonic() - cursor.requested_at)
        self._requests -= 1
        if self._splits and page.first is not None and page.first <= cursor.last and cursor.last:
            if len(self._ranges) > 1:
                raise UnorderedListing
            self._splits = False
        self._page_size = max(page.size, self._page_size)
        if page.first is None or cursor.key_range.is_past_end(page.first):
            cursor.is_done = not page.truncated or page.first is not None
            self._empty_ranges += cursor.page_count == 0 and cursor.key_range.after != ""
        else:
            cursor.pages.append(page)
            self._buffered += page.size
            self._useful_pages += 1
            cursor.is_done = not page.truncated or cursor.key_range.reaches_end(page.last or "")
        cursor.page_count += 1
        cursor.token = page.token
        cursor.last = page.last or cursor.last
        if not cursor.is_done and page.first is not None:
            self._split(cursor, page)
        elif cursor.is_done and not cursor.pages and cursor is not self._ranges.first:
            self._ranges.remove(cursor)

    def _check_page(self, cursor: RangeCursor, page: ListPage) -> None:
        """Does the page belong here, and is there a way on from it? Raises ServiceFailed."""
        for key in (page.first, page.last):
            if key is not None and not key.startswith(self._prefix):
                raise ServiceFailed(
                    f"S3 lists '{key}', which is not below '{self._prefix}'", type="InternalError"
                )
        if page.truncated and cursor.guard.is_repeated(page.token or page.last):
            raise ServiceFailed(
                f"the listing of '{self._prefix}' goes round in a circle", type="InternalError"
            )
        if page.truncated and cursor.guard.is_stalled(is_empty=page.first is None):
            message = (
                f"the listing of '{self._prefix}' returned {MAX_EMPTY_PAGES:,} empty pages in a row"
            )
            raise ServiceFailed(message, type="EndlessListing")

    def pop_objects(self) -> Iterator[ObjectInfo]:
        """Objects that are next in order, as far as they have come."""
        while self._ranges:
            cursor = self._ranges.first
            while cursor.pages:
                page = cursor.pages.popleft()
                self._buffered -= page.size
                objects = page.objects()
                through = cursor.key_range.through
                if through is not None and (page.last or "") > through:
                    objects = [info for info in objects if info.key <= through]
                self.yielded += len(objects)
                yield from objects
            if not cursor.is_done:
                return
            self._ranges.pop_first()

    def _split(self, cursor: RangeCursor, page: ListPage) -> None:
        """Splits the rest of a range at keys that may be far ahead."""
        if (
            not self._splits
            or self._useful_pages < _PAGES_BEFORE_SPLIT
            or self._empty_ranges > _MAX_EMPTY_RANGES + self._useful_pages
        ):
            return
        room = MAX_RANGES - self._ranges.count_pending()
        if len(self._ranges) == 1 and not page.is_sorted():
            self._splits = False
        if room <= 0 or not self._splits:
            return
        bounds = (page.first or "", page.last or "")
        cursor.key_range, *following = split_by_guessing(
            cursor.key_range, self._prefix, bounds, limit=room, is_distant=self._is_distant
        )
        self._ranges.insert_after(cursor, map(RangeCursor, following))


def build_page_query(cursor: RangeCursor) -> tuple[tuple[str, str], ...]:
    """What a request for the cursor's next page says besides the prefix."""
    if cursor.token is not None:
        return (("continuation-token", cursor.token),)
    return (("start-after", cursor.last),) if cursor.last else ()
