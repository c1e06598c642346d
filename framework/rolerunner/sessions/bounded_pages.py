"""Bounds the pages of an operation that botocore reads, since they may never end.

botocore itself notices only a token that comes twice in a row.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError
from botocore.paginate import PageIterator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_GATHERED = 64 << 20
"""Bytes of all pages, as JSON with what came with them: as Python's values they take several times
as much memory."""
MAX_EMPTY_PAGES = 10_000
"""Consecutive pages without anything: more than those of a listing in S3, since a search such as
FilterLogEvents returns an empty page for each stretch of a log that it looked through."""


class EndlessPages(BotoCoreError):  # type: ignore[misc]  # botocore has no annotations
    """Pages were abandoned: they are too many to be kept, or may never end."""

    fmt = (
        "{count:,} pages came, {reason}, and they have not ended: read fewer, by parameters that "
        "narrow the request or a maximum number of items"
    )


class BoundedPages(PageIterator):  # type: ignore[misc]
    """The pages of an operation; iterating over them raises EndlessPages."""

    def __init__(self, on_page: Callable[[], None], *paginator: Any) -> None:
        """``on_page`` is called with each page; ``paginator`` is what botocore passes."""
        super().__init__(*paginator)
        self._on_page = on_page

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yields the pages."""
        received = empty = 0
        for count, page in enumerate(super().__iter__(), 1):
            self._on_page()
            received += len(json.dumps(page, default=str))
            empty = empty + 1 if self._is_empty(page) else 0
            if received > MAX_GATHERED:
                raise EndlessPages(count=count, reason=f"more than {MAX_GATHERED >> 20} MiB")
            if empty >= MAX_EMPTY_PAGES:
                raise EndlessPages(count=count, reason=f"the last {empty:,} of them empty")
            yield page

    def _is_empty(self, page: Mapping[str, Any]) -> bool:
        """Returns True for a page without items, and without a number that tells of progress."""
        return not any(each.search(page) for each in self.result_keys)


def paginate(
    client: Any,
    method: str,
    parameters: Mapping[str, Any],
    *,
    max_items: int | None = None,
    on_page: Callable[[], None] = lambda: None,
) -> PageIterator:
    """Returns the bounded pages of an operation; ``on_page`` may end them by an exception."""
    paginator = client.get_paginator(method)
    paginator.PAGE_ITERATOR_CLS = partial(BoundedPages, on_page)
    config = {"PaginationConfig": {"MaxItems": max_items}} if max_items else {}
    return paginator.paginate(**parameters, **config)
