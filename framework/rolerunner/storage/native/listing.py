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
from rolerunner.storage.responses import MAX_EMPTY_PAGES, PaginationGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rolerunner.storage.http.list_parser import ListPage
    from rolerunner.storage.protocol import ObjectInfo

AT_ONCE = 24
"""Pages at a time. S3 takes 5,500 requests a second per prefix; these are some hundred of them."""
_NEAR = 0.02
"""Seconds of a page's latency below which a few at once are enough, and small spans cost more than they bring."""
_AT_ONCE_NEAR = 4
MOST = 64
"""Spans that are known ahead."""
_PAGES_FIRST = 2
"""So many pages come one after the other before anything is cut: most listings are short."""
_WASTE = 64
"""Empty spans that are put up with, beyond one for each page that was not."""
_FANNED = 2
_SPAN_PAGES = 3
_AHEAD = 8
"""Pages that the nearest spans may have ready; those farther on fewer, since they are wanted later."""
_TOPS = {
    **dict.fromkeys("0123456789", "9"),
    **dict.fromkeys("abcdef", "f"),
    **dict.fromkeys("ghijklmnopqrstuvwxyz", "z"),
    **dict.fromkeys("ABCDEF", "F"),
}
"""Where a letter's kind ends: digits, those of hexadecimal numbers, others."""
_SIZES = {"9": 10, "f": 16, "z": 26, "F": 16, "Z": 26}


class Unordered(Exception):
    """The server does not begin after the key that it is told, or has no order: pages must come one after the other."""


class Span:
    """Keys after ``after`` (itself not among them) up to ``until`` (itself among them; None is the end)."""

    __slots__ = (
        "after",
        "asked",
        "asking",
        "circle",
        "done",
        "last",
        "pages",
        "seen",
        "token",
        "until",
    )

    def __init__(self, after: str, until: Optional[str]) -> None:
        self.after = after
        self.until = until
        self.token: Optional[str] = None
        self.last = after
        self.pages: deque[ListPage] = deque()
        self.asking = False
        self.asked = 0.0
        self.done = False
        self.seen = 0
        self.circle = PaginationGuard()


class Listing:
    """The spans of one listing, in order. ``ask`` begins a request for a span's next page; its end is told to ``took``."""

    def __init__(
        self,
        prefix: str,
        ask: Callable[[Span], None],
        memory: int,
        *,
        cuts: bool = True,
        after: str = "",
    ) -> None:
        self._prefix = prefix
        self._ask = ask
        self._memory = memory
        self._spans: deque[Span] = deque([Span(after, None)])
        self._buffered = self._asking = self._wasted = self._useful = 0
        self._page_size = 1
        self._cuts = cuts
        self.latency = float("inf")
        """Seconds that the quickest page took."""
        self.given = 0
        """Objects that have come out."""

    @property
    def _far(self) -> bool:
        return self.latency > _NEAR

    def more(self) -> None:
        """Ask for what is next, the nearest first, as far as memory and the number of requests at once allow."""
        for index, span in enumerate(self._spans):
            ahead = self._buffered + self._asking * self._page_size
            if self._asking >= (AT_ONCE if self._far else _AT_ONCE_NEAR) or (
                index > 0 and ahead > self._memory
            ):
                return
            if not span.asking and not span.done and len(span.pages) <= (_AHEAD >> (index // 8)):
                span.asking = True
                span.asked = time.monotonic()
                self._asking += 1
                self._ask(span)

    def took(self, span: Span, page: ListPage) -> None:
        """A page has come: what is new in it, where its span goes on, and where it can be cut. Raises Unordered, ServiceFailed."""
        self._check(span, page)
        span.asking = False
        self.latency = min(self.latency, time.monotonic() - span.asked)
        self._asking -= 1
        if self._cuts and page.first is not None and page.first <= span.last and span.last:
            if len(self._spans) > 1:
                raise Unordered
            self._cuts = False
        self._page_size = max(page.size, self._page_size)
        if page.first is None or (span.until is not None and page.first > span.until):
            span.done = not page.truncated or page.first is not None
            self._wasted += span.seen == 0 and span.after != ""
        else:
            span.pages.append(page)
            self._buffered += page.size
            self._useful += 1
            span.done = not page.truncated or (
                span.until is not None and (page.last or "") >= span.until
            )
        span.seen += 1
        span.token = page.token
        span.last = page.last or span.last
        if not span.done and page.first is not None:
            self._cut(span, page)
        elif span.done and not span.pages and span is not self._spans[0]:
            self._spans.remove(span)

    def _check(self, span: Span, page: ListPage) -> None:
        """Does the page belong here, and is there a way on from it? Raises ServiceFailed."""
        for key in (page.first, page.last):
            if key is not None and not key.startswith(self._prefix):
                raise ServiceFailed(
                    f"S3 lists '{key}', which is not below '{self._prefix}'", type="InternalError"
                )
        if page.truncated and span.circle.closed_by(page.token or page.last):
            raise ServiceFailed(
                f"the listing of '{self._prefix}' goes round in a circle", type="InternalError"
            )
        if page.truncated and span.circle.is_stalled(is_empty=page.first is None):
            message = (
                f"the listing of '{self._prefix}' returned {MAX_EMPTY_PAGES:,} empty pages in a row"
            )
            raise ServiceFailed(message, type="EndlessListing")

    def ready(self) -> Iterator[ObjectInfo]:
        """Objects that are next in order, as far as they have come."""
        while self._spans:
            span = self._spans[0]
            while span.pages:
                page = span.pages.popleft()
                self._buffered -= page.size
                objects = page.objects()
                if span.until is not None and (page.last or "") > span.until:
                    objects = [info for info in objects if info.key <= span.until]
                self.given += len(objects)
                yield from objects
            if not span.done:
                return
            self._spans.popleft()

    def _cut(self, span: Span, page: ListPage) -> None:
        """Cut what is left of a span at keys that may be far ahead."""
        if not self._cuts or self._useful < _PAGES_FIRST or self._wasted > _WASTE + self._useful:
            return
        room = MOST - sum(not each.done for each in self._spans)
        if len(self._spans) == 1 and not page.is_sorted():
            self._cuts = False
        if room <= 0 or not self._cuts:
            return
        points = sorted(set(self._points(page.first or "", page.last or "", span.until)))
        points = points[:room]
        place = self._spans.index(span)
        until = span.until
        for number, point in enumerate(points):
            end = points[number + 1] if number + 1 < len(points) else until
            self._spans.insert(place + 1 + number, Span(point, end))
        if points:
            span.until = points[0]

    def _points(self, first: str, last: str, until: Optional[str]) -> Iterator[str]:
        """Keys that may be far after ``last``: after all that begins as it does, at each place from the prefix's end on.

        Beyond the first letter in which the page's own keys differ a span would be shorter than a page.
        """
        differs = next(
            (place for place, (one, other) in enumerate(zip(first, last)) if one != other),
            min(len(first), len(last)),
        )
        for place in range(len(self._prefix), differs + 1):
            letter = last[place : place + 1]
            if (
                letter not in _TOPS or letter == _TOPS[letter]
            ):  # what comes after the last of a kind, an earlier place finds
                continue
            for step in self._steps(
                letter, first[differs : differs + 1], last[differs : differs + 1], differs - place
            ):
                point = last[:place] + chr(step)
                if point > last and (until is None or point < until):
                    yield point

    def _steps(self, letter: str, low: str, high: str, above: int) -> Iterable[int]:
        """Letters to go on from, after ``letter``: for spans of some pages where the keys of a page differ, ever longer ones before.

        A page took the letters from ``low`` to ``high`` of one kind (ten digits, say), so each letter that stands ``above``
        places earlier stands for some number of pages.
        """
        top = _TOPS[letter]
        after, end = ord(letter) + 1, ord(top) + 1
        if above <= _FANNED and not self._far:
            return ()
        if above > _FANNED:
            return {after, (after + ord(top)) // 2}
        width = max(ord(high) - ord(low), 0) + 1 if low and high else 1
        pages = float(_SIZES[top]) ** above / width
        return range(after, end, max(1, round(_SPAN_PAGES / pages)))


def queries(span: Span) -> tuple[tuple[str, str], ...]:
    """What a request for the span's next page says besides the prefix."""
    if span.token is not None:
        return (("continuation-token", span.token),)
    return (("start-after", span.last),) if span.last else ()
