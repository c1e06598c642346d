"""Pages of ListObjectsV2, as S3 and other servers write them."""

from __future__ import annotations

import pytest

from rolerunner.errors import ServiceFailed, UnexpectedResponse
from rolerunner.storage.http.list_parser import ListPage
from rolerunner.storage.protocol import ObjectInfo

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3">'
TAIL = "</ListBucketResult>"
TIME = "2026-01-31T12:00:00"
OTHER_ORDER = (
    "<Contents>\n<Size>7</Size>\n<Key>a</Key><StorageClass>GLACIER</StorageClass>"
    f"<LastModified>{TIME}.123Z</LastModified><ETag>&quot;e&quot;</ETag></Contents>"
)


def write_object(
    key: str, *, time: str = f"{TIME}.000Z", etag: str = "&quot;e&quot;", more: str = ""
) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>{etag}</ETag>"
        f"<Size>7</Size>{more}</Contents>"
    )


LAST = "<IsTruncated>false</IsTruncated>"


def parse(*objects: str, more: str = LAST) -> ListPage:
    return ListPage(f"{HEAD}{more}{''.join(objects)}{TAIL}".encode())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (write_object("in/a"), ObjectInfo("in/a", 7, "e", f"{TIME}Z")),
        (write_object("a", time=f"{TIME}Z"), ObjectInfo("a", 7, "e", f"{TIME}Z")),
        (write_object("a", etag='"e"'), ObjectInfo("a", 7, "e", f"{TIME}Z")),
        (write_object("a", etag="&#34;e&#34;"), ObjectInfo("a", 7, "e", f"{TIME}Z")),
        (write_object("a", etag="e"), ObjectInfo("a", 7, "e", f"{TIME}Z")),
        (write_object("a &amp; b"), ObjectInfo("a & b", 7, "e", f"{TIME}Z")),
        (write_object("a%2Bb+c"), ObjectInfo("a%2Bb+c", 7, "e", f"{TIME}Z")),
        (
            write_object("a", more="<StorageClass>GLACIER</StorageClass>"),
            ObjectInfo("a", 7, "e", f"{TIME}Z", storage_class="GLACIER"),
        ),
        (
            write_object("a", more="<StorageClass>STANDARD</StorageClass>"),
            ObjectInfo("a", 7, "e", f"{TIME}Z"),
        ),
        (
            write_object("a", more="<Owner><ID>x</ID><DisplayName>y</DisplayName></Owner>"),
            ObjectInfo("a", 7, "e", f"{TIME}Z"),
        ),
    ],
)
def test_an_object_is_parsed(written: str, expected: ObjectInfo) -> None:
    assert parse(written).objects() == [expected]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            OTHER_ORDER,
            ObjectInfo("a", 7, "e", f"{TIME}Z", storage_class="GLACIER"),
        ),
        (
            "<Contents><Key>a</Key><Size>7</Size><Other>x</Other></Contents>",
            ObjectInfo("a", 7, "", ""),
        ),
        (
            write_object("a", time="Sat, 31 Jan 2026 12:00:00 GMT"),
            ObjectInfo("a", 7, "e", f"{TIME}Z"),
        ),
        (write_object("a", time=f"{TIME}Z", more="<X/>"), ObjectInfo("a", 7, "e", f"{TIME}Z")),
    ],
)
def test_another_form_of_an_object_is_parsed_too(written: str, expected: ObjectInfo) -> None:
    assert parse(written, write_object("z")).objects()[0] == expected


@pytest.mark.parametrize(
    "written",
    [
        "<Contents><Size>7</Size></Contents>",
        "<Contents><Key>a</Key></Contents>",
        "<Contents><Key>a</Key><Size>-7</Size></Contents>",
        write_object("a", time="yesterday"),
        f"<Contents><Key>a</Key><Size>{'9' * 5_000}</Size></Contents>",
        "<Contents><Key>a</Key><Size>\u00b2</Size></Contents>",
        f"<Contents>{write_object('a')}",
    ],
)
def test_an_object_that_cannot_be_parsed_is_no_listing(written: str) -> None:
    with pytest.raises(ServiceFailed, match="it is not a listing") as raised:
        parse(written).objects()
    assert raised.value.type == "InternalError"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"<html></html>",
        HEAD.encode(),
        f"{HEAD}{TAIL}x".encode(),
        f"{' ' * 512}{HEAD}{TAIL}".encode(),
        f"{HEAD}<![CDATA[x]]>{TAIL}".encode(),
        f"{HEAD}<IsTruncated>true</IsTruncated>{TAIL}".encode(),
    ],
)
def test_another_body_is_no_listing(body: bytes) -> None:
    with pytest.raises(ServiceFailed, match="it is not a listing") as raised:
        ListPage(body)
    assert raised.value.type == "InternalError"


@pytest.mark.parametrize("end", ["", "<IsTruncated/>", "<IsTruncated>no</IsTruncated>"])
def test_a_page_that_does_not_say_whether_another_follows_is_an_error(end: str) -> None:
    with pytest.raises(UnexpectedResponse, match="it has no IsTruncated"):
        parse(write_object("a"), more=end)


@pytest.mark.parametrize("count", ["", "many", "0", "2", "3"])
def test_a_page_with_as_many_keys_as_it_says_is_whole(count: str) -> None:
    folder = "<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>"
    more = f"{LAST}<KeyCount>{count}</KeyCount>{folder}"
    assert parse(write_object("a"), write_object("c"), more=more).last == "c"


def test_a_page_with_fewer_keys_than_it_says_is_an_error() -> None:
    with pytest.raises(UnexpectedResponse, match="has 1 of 2 keys"):
        parse(write_object("a"), more=f"{LAST}<KeyCount>2</KeyCount>")


def test_a_listing_may_have_an_exclamation_mark_and_blanks_at_its_end() -> None:
    page = ListPage(f"{HEAD}{LAST}{write_object('a!')}{TAIL}\n ".encode())
    assert [each.key for each in page.objects()] == ["a!"]


def test_a_page_tells_whether_there_is_another() -> None:
    token = "<NextContinuationToken>a&amp;b</NextContinuationToken>"
    more = f"<IsTruncated>true</IsTruncated>{token}"
    page = parse(write_object("a"), write_object("b"), more=more)
    assert (page.truncated, page.token, page.first, page.last) == (True, "a&b", "a", "b")
    last = parse(write_object("a"), more="<IsTruncated>false</IsTruncated>")
    assert (last.truncated, last.token, last.first, last.last) == (False, None, "a", "a")
    without_token = parse(write_object("a"), more="<IsTruncated>true</IsTruncated>")
    assert (without_token.truncated, without_token.token) == (True, None)


def test_an_empty_page_has_no_keys() -> None:
    page = parse(more=f"{LAST}<Prefix><Key>not an object</Key></Prefix>")
    assert (page.first, page.last, page.objects()) == (None, None, [])
    assert page.size == len(f"{HEAD}{LAST}<Prefix><Key>not an object</Key></Prefix>{TAIL}")


def test_keys_are_decoded_where_the_page_says_so() -> None:
    encoding = f"{LAST}<EncodingType>url</EncodingType>"
    page = parse(write_object("a%2Bb"), write_object("c+d&amp;"), more=encoding)
    assert [each.key for each in page.objects()] == ["a+b", "c d&"]
    assert (page.first, page.last) == ("a+b", "c d&")


def test_the_order_of_keys_is_checked() -> None:
    assert parse(write_object("a"), write_object("b")).is_sorted()
    page = parse(write_object("b"), write_object("a"))
    assert not page.is_sorted()
    assert [each.key for each in page.objects()] == ["b", "a"]
