"""Splits a listing into ranges of keys whose pages are requested in parallel.

S3 returns a thousand keys a page, and only the page names the start of the next one. But a page can
start after any key (``start-after``), whether it exists or not. After a page that ends with
``part-00001999``, the keys after ``part-0000~``, ``part-0001~`` and so on are therefore requested
too: they leave out what shares the page's own beginning at ever earlier places. A range that turns
out to be empty costs one request; the others are split again. Objects are yielded in the order of
keys all the same, and what is fetched ahead of them is bounded.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import ServiceFailed, UnexpectedResponse
from rolerunner.keyspace import KeyRange, OrderedRanges, split_by_guessing
from rolerunner.storage.native.guess_record import GuessRecord
from rolerunner.storage.responses import MAX_EMPTY_PAGES, PaginationGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.storage.http.list_parser import ListPage
    from rolerunner.storage.protocol import ObjectInfo

MAX_REQUESTS = 24
"""Pages in flight: some hundred of the 5,500 requests a second that S3 takes per prefix."""
_NEAR_SECONDS = 0.02
"""Latency of a page, in seconds, below which few requests suffice and small ranges do not pay."""
_MAX_REQUESTS_NEAR = 4
MAX_RANGES = 64
"""Ranges that are known ahead."""
_PAGES_BEFORE_SPLIT = 2
"""Pages that are requested one by one before the first split: most listings are short."""
_MAX_EMPTY_RANGES = 64
"""Empty ranges that are allowed, beyond one for each page that was not empty."""
_PAGES_BEFORE_RETRY = 8
"""Pages of a range after which all guesses are tried again: a large folder may follow small ones.
"""
_MAX_BUFFERED_PAGES = 8
"""Pages that the nearest ranges may hold; later ones hold fewer, as they are needed later."""


class UnorderedListing(Exception):
    """The server ignores ``start-after`` or lists in no order, so pages cannot come in parallel."""


class RangeCursor:
    """The progress of a listing through one range of keys."""

    __slots__ = (
        "guard",
        "is_done",
        "is_probing",
        "is_requested",
        "key_range",
        "last",
        "may_probe",
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
        self.is_probing = False
        """True if one key is requested, which is probably past the end of the range."""
        self.may_probe = True
        """False after a probe that was not past the end."""
        self.page_count = 0
        self.guard = PaginationGuard()


class Listing:
    """The ranges of one listing, in order.

    ``request`` starts a request for a cursor's next page, which is then passed to ``add_page``.
    """

    def __init__(
        self,
        prefix: str,
        request: Callable[[RangeCursor], None],
        memory: int,
        *,
        splits: bool = True,
        within: KeyRange = KeyRange(),  # noqa: B008 - it is frozen
    ) -> None:
        self._prefix = prefix
        self._request = request
        self._memory = memory
        self._ranges = OrderedRanges(RangeCursor(within))
        self._buffered = self._requests = self._empty_ranges = self._useful_pages = 0
        self._page_size = 1
        self._splits = splits
        self._guesses = GuessRecord()
        self.latency = float("inf")
        """Seconds that the fastest page took."""
        self.yielded = 0
        """Number of objects yielded so far."""

    @property
    def _is_distant(self) -> bool:
        return self.latency > _NEAR_SECONDS

    def request_pages(self) -> None:
        """Requests the next pages, the nearest first, within the limits of memory and requests."""
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
                cursor.is_probing = cursor.may_probe and cursor.key_range.is_probably_end(
                    cursor.last
                )
                cursor.requested_at = time.monotonic()
                self._requests += 1
                self._request(cursor)

    def add_page(self, cursor: RangeCursor, page: ListPage) -> None:
        """Adds a page to its range and splits the rest. Raises UnorderedListing, ServiceFailed."""
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
            if cursor.page_count == 0 and cursor.key_range.after:
                self._empty_ranges += 1
                self._guesses.add_range(cursor.key_range.after, is_empty=True)
        else:
            cursor.pages.append(page)
            if cursor.page_count == 0 and cursor.key_range.after:
                self._guesses.add_range(cursor.key_range.after, is_empty=False)
            cursor.may_probe = not cursor.is_probing
            self._buffered += page.size
            self._useful_pages += 1
            cursor.is_done = not page.truncated or cursor.key_range.reaches_end(page.last or "")
        cursor.page_count += 1
        cursor.token = page.token
        cursor.last = page.last or cursor.last
        if not cursor.is_done and page.first is not None and not cursor.is_probing:
            self._split_range(cursor, page)
        elif cursor.is_done and not cursor.pages and cursor is not self._ranges.first:
            self._ranges.remove(cursor)

    def _check_page(self, cursor: RangeCursor, page: ListPage) -> None:
        """Raises ServiceFailed for keys outside the prefix, and for pages without end."""
        for key in (page.first, page.last):
            if key is not None and not key.startswith(self._prefix):
                raise UnexpectedResponse(f"S3 lists '{key}', which is not below '{self._prefix}'")
        bounds = None if page.first is None else (page.first, page.last)
        if page.truncated and cursor.guard.is_repeated(page.token or page.last, bounds):
            raise UnexpectedResponse("the listing repeats a continuation token or a page")
        if page.truncated and cursor.guard.is_stalled(is_empty=page.first is None):
            message = (
                f"the listing of '{self._prefix}' returned {MAX_EMPTY_PAGES:,} empty pages in a row"
            )
            raise ServiceFailed(message, type="EndlessListing")

    def pop_objects(self) -> Iterator[ObjectInfo]:
        """Yields the objects that are next in order, as far as their pages have arrived."""
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

    def _split_range(self, cursor: RangeCursor, page: ListPage) -> None:
        """Splits the rest of a range at keys that may be far ahead."""
        if (
            not self._splits
            or self._useful_pages < _PAGES_BEFORE_SPLIT
            or self._empty_ranges > _MAX_EMPTY_RANGES + self._useful_pages
        ):
            return
        pending = self._ranges.count_pending()
        if pending >= MAX_REQUESTS and cursor.page_count <= (cursor.key_range.pages or 0):
            return  # the range is short, and all requests are in use
        room = MAX_RANGES - pending
        if len(self._ranges) == 1 and not page.is_sorted():
            self._splits = False
        if room <= 0 or not self._splits:
            return
        bounds = (page.first or "", page.last or "")
        cursor.key_range, *following = split_by_guessing(
            cursor.key_range,
            self._prefix,
            bounds,
            limit=room,
            is_distant=self._is_distant,
            is_likely=self._guesses.is_likely if cursor.page_count % _PAGES_BEFORE_RETRY else None,
        )
        self._ranges.insert_after(cursor, map(RangeCursor, following))


def build_page_query(cursor: RangeCursor) -> tuple[tuple[str, str], ...]:
    """Returns the query parameters of the request for the cursor's next page.

    The end of a range cannot be requested, so a single key shows that it is reached.
    """
    limit = (("max-keys", "1"),) if cursor.is_probing else ()
    if cursor.token is not None:
        return (("continuation-token", cursor.token), *limit)
    return (("start-after", cursor.last), *limit) if cursor.last else ()
