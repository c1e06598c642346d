"""Names of files on a server are bytes."""

from __future__ import annotations

import pytest

from rolerunner.sftp.names import decode_name, encode_path, is_utf8, show_path


@pytest.mark.parametrize(
    ("name", "shown", "is_text"),
    [
        (b"a.csv", "a.csv", True),
        ("\u00fc\u4e2d".encode(), "\u00fc\u4e2d", True),
        (b"d\xe9/\xc3\xbc", "d\\xe9/\u00fc", False),
    ],
)
def test_every_name_leads_back_to_its_bytes(name: bytes, shown: str, is_text: bool) -> None:
    decoded = decode_name(name)
    assert encode_path(decoded) == name
    assert (show_path(decoded), is_utf8(decoded)) == (shown, is_text)
