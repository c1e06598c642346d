"""The parallel listing over servers with keys of every kind, and the pages they send."""

from __future__ import annotations

import bisect
from html import escape
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.errors import ServiceFailed
from rolerunner.storage.http import xml
from rolerunner.storage.http.list_parser import ListPage
from rolerunner.storage.native import listing
from rolerunner.storage.native.listing import (
    Listing,
    RangeCursor,
    UnorderedListing,
    build_page_query,
)
from rolerunner.storage.protocol import ObjectInfo


def page_of(keys: list[str], *, more: bool, encoded: bool = True, token: str = "") -> ListPage:
    rows = "".join(
        f"<Contents><Key>{quote_plus(key, safe='/') if encoded else escape(key)}</Key>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;e&quot;</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key in keys
    )
    end = (
        "<IsTruncated>true</IsTruncated>"
        f"<NextContinuationToken>{escape(token or keys[-1])}</NextContinuationToken>"
        if more
        else "<IsTruncated>false</IsTruncated>"
    )
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    result = f"<ListBucketResult>{encoding}{end}{rows}</ListBucketResult>"
    return ListPage(f"<?xml version='1.0'?>{result}".encode())


def listed(
    keys: list[str], prefix: str, size: int, *, memory: int = 1 << 20, latency: float = 0.08
) -> tuple[list[str], int, int, int]:
    """The keys found, and the numbers of rounds, requests and keys sent."""
    asked: list[RangeCursor] = []
    pages = Listing(prefix, asked.append, memory)
    found: list[str] = []
    rounds = requests = sent = 0
    pages.request_pages()
    while asked:
        rounds += 1
        now, asked[:] = asked[::-1], []
        for span in now:
            requests += 1
            after = dict(build_page_query(span))
            at = bisect.bisect_right(
                keys, after.get("continuation-token") or after.get("start-after") or ""
            )
            pages.latency, span.requested_at = latency, 0.0
            end = at + int(after.get("max-keys") or size)
            sent += len(keys[at:end])
            pages.add_page(span, page_of(keys[at:end], more=end < len(keys)))
        found += [info.key for info in pages.pop_objects()]
        pages.request_pages()
    return found, rounds, requests, sent


KEYS = st.one_of(
    *(
        st.sets(st.text(letters, max_size=7), max_size=150)
        for letters in ("ab", "0123456789", "abcxyz/-", "aéü漢z𝄞", "A~}|z&<+% ")
    )
)


@settings(max_examples=120, deadline=None)
@given(
    KEYS,
    st.sampled_from(["x/", ""]),
    st.sampled_from([1, 2, 5, 20]),
    st.sampled_from([1, 10**4, 10**9]),
    st.sampled_from([0.0, 0.08]),
)
def test_every_key_comes_once_and_in_order(
    names: set[str], prefix: str, size: int, memory: int, latency: float
) -> None:
    keys = sorted(f"x/{name}" for name in names)
    assert listed(keys, prefix, size, memory=memory, latency=latency)[0] == keys


def test_latency_is_paid_for_many_pages_at_once_and_short_listings_ask_no_more_than_they_must() -> (
    None
):
    counted = [f"data/part-{number:08d}.parquet" for number in range(100_000)]
    found, rounds, requests, sent = listed(counted, "data/", 100, memory=1 << 30)
    assert found == counted
    assert rounds < 110, "1,000 pages"
    assert requests < 1_500
    assert sent < 101_000, "ends of ranges are found by requests for one key"
    assert listed(counted[:180], "data/", 100)[1:] == (2, 2, 180)


@pytest.mark.parametrize("latency", [0.0, 0.08])
@pytest.mark.parametrize(("days", "count"), [(300, 30), (100, 250)])
def test_few_requests_find_the_keys_of_small_date_folders(
    days: int, count: int, latency: float
) -> None:
    keys = [
        f"p/dt=2026-{day // 28 + 1:02}-{day % 28 + 1:02}/part-{number:05}-{day * number % 997:04}"
        for day in range(days)
        for number in range(count)
    ]
    found, rounds, _, sent = listed(keys, "p/", 100, memory=1 << 30, latency=latency)
    assert found == keys
    assert sent < len(keys) * 1.8
    assert rounds < (40 if latency else 120), "of 90 and 250 pages"


def test_a_large_folder_after_small_ones_is_split_again() -> None:
    small = [f"p/{day:03}/part-{number:07}" for day in range(100) for number in range(50)]
    large = [f"p/{100:03}/part-{number:07}" for number in range(30_000)]
    found, rounds, *_ = listed([*small, *large], "p/", 100, memory=1 << 30)
    assert found == [*small, *large]
    assert rounds < 120, "of 350 pages"


def test_what_follows_an_expected_end_is_listed_in_whole_pages() -> None:
    """``part-1999/`` seems to be the end of a range that has more keys."""
    keys = sorted(f"part-{1999 if number > 900 else number:04}/{number}" for number in range(9000))
    found, _, requests, _ = listed(keys, "part-", 100, memory=1 << 30)
    assert found == keys
    assert requests < 300


def test_memory_ahead_is_bounded() -> None:
    pages = Listing("", lambda span: None, 100)
    counted = [f"{number:08d}" for number in range(3000)]
    peak = 0
    asked: list[RangeCursor] = []
    pages = Listing("", asked.append, 20_000)
    pages.request_pages()
    while asked:
        span = asked.pop()
        after = dict(build_page_query(span))
        at = bisect.bisect_right(
            counted, after.get("continuation-token") or after.get("start-after") or ""
        )
        pages.latency, span.requested_at = 1.0, 0.0
        pages.add_page(span, page_of(counted[at : at + 10], more=at + 10 < len(counted)))
        peak = max(peak, pages._buffered)
        list(pages.pop_objects())
        pages.request_pages()
    assert peak < 20_000 + listing.MAX_REQUESTS * 4_000


def test_a_server_that_does_not_begin_where_it_is_told_is_seen() -> None:
    asked: list[RangeCursor] = []
    pages = Listing("", asked.append, 1 << 20)
    keys = [f"{number:05d}" for number in range(9000)]
    pages.request_pages()

    def walk() -> None:
        for _ in range(20):
            span = asked.pop()
            token = dict(build_page_query(span)).get("continuation-token", "")
            at = bisect.bisect_right(keys, token)
            pages.latency, span.requested_at = 1.0, 0.0
            pages.add_page(span, page_of(keys[at : at + 1000], more=at + 1000 < len(keys)))
            pages.request_pages()

    with pytest.raises(UnorderedListing):
        walk()


def begin(prefix: str = "") -> tuple[Listing, RangeCursor]:
    asked: list[RangeCursor] = []
    pages = Listing(prefix, asked.append, 1 << 20)
    pages.request_pages()
    return pages, asked.pop()


def test_pages_out_of_order_are_listed_as_they_come() -> None:
    """A directory bucket has no order, and is not split."""
    pages, cursor = begin()
    for keys, more in ((["c", "d"], True), (["d", "a"], True), (["b"], False)):
        pages.add_page(cursor, page_of(keys, more=more))
    assert [info.key for info in pages.pop_objects()] == ["c", "d", "d", "a", "b"]


@pytest.mark.parametrize("keys", [["x/a", "y"], ["a", "x/a"]])
def test_a_key_that_is_not_below_the_prefix_is_an_error(keys: list[str]) -> None:
    pages, cursor = begin("x/")
    with pytest.raises(ServiceFailed, match="which is not below 'x/'"):
        pages.add_page(cursor, page_of(keys, more=False))


def test_a_repeated_token_is_an_error() -> None:
    pages, cursor = begin()
    pages.add_page(cursor, page_of(["a"], more=True))
    with pytest.raises(ServiceFailed, match="repeats a continuation token"):
        pages.add_page(cursor, page_of(["a"], more=True))


def test_a_repeated_page_is_an_error_whatever_its_token() -> None:
    pages, cursor = begin()
    pages.add_page(cursor, page_of(["a", "b"], more=True, token="1"))
    with pytest.raises(ServiceFailed, match="repeats a continuation token or a page"):
        pages.add_page(cursor, page_of(["a", "b"], more=True, token="2"))


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    st.booleans(),
)
def test_keys_are_read_as_they_are(keys: list[str], encoded: bool) -> None:
    page = page_of(keys, more=False, encoded=encoded)
    assert [info.key for info in page.objects()] == keys
    assert (page.first, page.last) == (keys[0], keys[-1])


def test_fields_in_another_order_and_other_fields_are_read_too() -> None:
    text = (
        "<ListBucketResult xmlns='x'>\n<IsTruncated>false</IsTruncated>"
        "<Contents><Size>5</Size><Key>a</Key>"
        '<Owner><ID>i</ID></Owner><ETag>"e"</ETag>'
        "<LastModified>2026-01-02T03:04:05Z</LastModified></Contents>"
        "<Contents><Key>b</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&#34;f-2&#34;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"
        "<ChecksumType>FULL_OBJECT</ChecksumType><Size>6</Size><StorageClass>GLACIER</StorageClass></Contents></ListBucketResult>\n"
    )
    assert ListPage(text.encode()).objects() == [
        ObjectInfo("a", 5, "e", "2026-01-02T03:04:05Z"),
        ObjectInfo("b", 6, "f-2", "2026-01-02T03:04:05Z", storage_class="GLACIER"),
    ]  # fmt: skip


def test_blanks_between_fields_do_no_harm() -> None:
    text = (
        "<ListBucketResult>\n  <IsTruncated>false</IsTruncated>\n  <Contents>\n <Key>a!</Key>\n "
        "<LastModified>2026-01-02T03:04:05.000Z</LastModified>\n <ETag>&quot;e&quot;</ETag>\n"
        " <Size>5</Size>\n <StorageClass>STANDARD</StorageClass>\n</Contents>\n</ListBucketResult>"
    )
    page = ListPage(text.encode())
    assert page.is_sorted()
    assert page.objects() == [ObjectInfo("a!", 5, "e", "2026-01-02T03:04:05Z")]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>busy</html>", b"<ListBucketResult><Contents><Key>a</Key>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
    ],
)  # fmt: skip
def test_what_is_no_page_is_an_error_and_never_an_empty_listing(body: bytes) -> None:
    with pytest.raises(ServiceFailed, match="cannot be parsed"):
        ListPage(body).objects()


_XML_CHARACTERS = st.one_of(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"]), st.sampled_from("\t\n\r")
)
"""Other keys go by requests of their own."""


@given(
    st.lists(
        st.tuples(
            st.text(_XML_CHARACTERS, min_size=1, max_size=8),
            st.sampled_from(["", "v1"]),
            st.sampled_from(["", "e1"]),
        ),
        max_size=4,
    )
)
def test_a_deletion_says_exactly_its_keys(keys: list[tuple[str, str, str]]) -> None:
    from xml.etree import ElementTree as ET

    name = "{http://s3.amazonaws.com/doc/2006-03-01/}"
    found = ET.fromstring(xml.render_delete(keys)).iter(f"{name}Object")
    told: list[Any] = [
        (
            each.findtext(f"{name}Key"),
            each.findtext(f"{name}VersionId") or "",
            each.findtext(f"{name}ETag") or "",
        )
        for each in found
    ]
    assert told == [(key, version, f'"{etag}"' if etag else "") for key, version, etag in keys]


def test_tags_are_carried_as_a_header_has_them() -> None:
    assert xml.parse_tags(
        b"<Tagging><TagSet><Tag><Key>a&amp;b</Key><Value>c "
        b"d</Value></Tag><Tag><Key>e</Key><Value></Value></Tag></TagSet></Tagging>"
    ) == ("a%26b=c%20d&e=")
    with pytest.raises(ServiceFailed, match="cannot be parsed"):
        xml.parse_tags(b"<html/>")


@pytest.mark.parametrize(("latency", "requests"), [(0.02, 4), (0.0201, 24)])
def test_pages_come_one_by_one_and_then_as_many_at_once_as_the_server_is_far(
    latency: float, requests: int
) -> None:
    keys = [f"data/part-{number:08d}.parquet" for number in range(100_000)]
    asked: list[RangeCursor] = []
    pages = Listing("data/", asked.append, 1 << 30)
    pages.request_pages()
    in_flight, most_ranges = [], 0
    for _ in range(8):
        in_flight.append(len(asked))
        now, asked[:] = asked[::-1], []
        for cursor in now:
            after = dict(build_page_query(cursor))
            token = after.get("continuation-token") or after.get("start-after") or ""
            at = bisect.bisect_right(keys, token)
            pages.latency, cursor.requested_at = latency, 0.0
            end = at + int(after.get("max-keys") or 100)
            pages.add_page(cursor, page_of(keys[at:end], more=end < len(keys)))
            most_ranges = max(most_ranges, pages._ranges.count_pending())
        list(pages.pop_objects())
        pages.request_pages()
    assert in_flight == [1, 1, *[requests] * 6]
    assert (most_ranges == 64) is (requests == 24), "so many ranges are known ahead at most"
