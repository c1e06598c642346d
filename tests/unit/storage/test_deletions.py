"""Servers whose conditional deletions are relied on, and keys that XML can hold."""

from __future__ import annotations

import pytest

from rolerunner.iam.actions_table import is_aws_host
from rolerunner.storage.deletions import DeleteConditions
from rolerunner.storage.http import xml

OUTPOST = "arn:aws:s3-outposts:eu-west-1:111122223333:outpost/op-1/accesspoint/a"


@pytest.mark.parametrize(
    ("host", "is_aws"),
    [
        ("s3.eu-west-1.amazonaws.com", True), ("bucket.s3.cn-north-1.amazonaws.com.cn", True),
        ("vpce-1.s3.eu-west-1.vpce.amazonaws.com", True),
        ("127.0.0.1", False), ("minio.example.com", False), ("amazonaws.com.example.com", False),
        ("notamazonaws.com", False), ("", False),
    ],
)  # fmt: skip
def test_hosts_of_aws(host: str, is_aws: bool) -> None:
    assert is_aws_host(host) is is_aws


def test_conditions_are_relied_on_at_aws_until_they_are_refused() -> None:
    conditions = DeleteConditions("https://s3.eu-west-1.amazonaws.com")
    assert (
        conditions.are_kept("bucket"),
        conditions.are_kept(OUTPOST),
        conditions.are_sent(OUTPOST),
    ) == (True, False, True)
    conditions.refuse("bucket")
    assert (
        conditions.are_kept("bucket"),
        conditions.are_sent("bucket"),
        conditions.are_kept("other"),
    ) == (False, False, True)


def test_conditions_are_sent_elsewhere_and_not_relied_on() -> None:
    conditions = DeleteConditions("http://127.0.0.1:9000")
    assert (conditions.are_sent("bucket"), conditions.are_kept("bucket")) == (True, False)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a\n\tb<&>", True),
        ("\U0001f600", True),
        ("a\rb", False),
        ("\x00", False),
        ("\uffff", False),
    ],
)
def test_what_xml_can_hold(text: str, fits: bool) -> None:
    assert xml.is_xml_safe(text) is fits
    assert not fits or xml.render_delete([(text, "", "")]).startswith(b"<Delete ")


def test_a_batch_names_versions_and_conditions() -> None:
    body = xml.render_delete([("a&b", "v", ""), ("c\n", "", "e-2")]).decode()
    assert "<Object><Key>a&amp;b</Key><VersionId>v</VersionId></Object>" in body
    assert "<Object><Key>c&#10;</Key><ETag>&quot;e-2&quot;</ETag></Object>" in body
    assert "<Quiet>false</Quiet>" in body
