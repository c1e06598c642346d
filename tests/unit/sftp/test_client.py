"""A folder is listed from the messages of a server, whatever it sends besides."""

from __future__ import annotations

from typing import Any

import paramiko
import pytest
from paramiko import sftp

from rolerunner.sftp.client import RemoteHandle, SftpClient
from rolerunner.sftp.ssh import StatusError


def status(number: int, code: int) -> tuple[int, bytes]:
    message = paramiko.Message()
    message.add_int(number)
    message.add_int(code)
    message.add_string("why")
    message.add_string("en")
    return sftp.CMD_STATUS, message.asbytes()


def names(number: int, *listed: bytes) -> tuple[int, bytes]:
    message = paramiko.Message()
    message.add_int(number)
    message.add_int(len(listed))
    for name in listed:
        message.add_string(name)
        message.add_string(b"-rw-r--r-- " + name)
        attributes = paramiko.SFTPAttributes()
        attributes.st_size, attributes.st_mode = 3, 0o100644
        attributes.st_atime = attributes.st_mtime = 7
        attributes._pack(message)
    return sftp.CMD_NAME, message.asbytes()


class ScriptedClient(SftpClient):
    """A session whose server sends given messages; requests are numbered from 1."""

    def __init__(self, *messages: tuple[int, bytes]) -> None:
        self.messages = list(messages)
        self.asked = 0
        self.closed = False

    def _request(self, kind: int, *_: Any) -> tuple[int, Any]:
        self.closed = kind == sftp.CMD_CLOSE
        handle = paramiko.Message()
        handle.add_string(b"handle")
        handle.rewind()
        return sftp.CMD_HANDLE, handle

    def _adjust_cwd(self, path: str) -> bytes:
        return path.encode()

    def _send(self, *_: Any) -> int:
        self.asked += 1
        return self.asked

    def _read_packet(self) -> tuple[int, bytes]:
        return self.messages.pop(0)


def test_names_are_bytes_and_late_answers_of_others_are_passed_over() -> None:
    client = ScriptedClient(
        names(99, b"of another"), names(1, b".", b"..", b"a"), names(2, b"\xff"), status(3, 1)
    )
    assert [tuple(each) for each in client.iter_folder("/in/")] == [
        ("a", 0o100644, 3, 7),
        ("\udcff", 0o100644, 3, 7),
    ]
    assert client.closed


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (status(1, 3), "why"),
        (status(1, 0), "no names"),
        ((sftp.CMD_DATA, names(1)[1]), "a message 103"),
    ],
)
def test_what_is_no_answer_to_a_listing_is_an_error(message: tuple[int, bytes], error: str) -> None:
    with pytest.raises((OSError, paramiko.SFTPError), match=error):
        list(ScriptedClient(message).iter_folder("/in/"))


def content(number: int, text: bytes) -> tuple[int, bytes]:
    message = paramiko.Message()
    message.add_int(number)
    message.add_string(text)
    return sftp.CMD_DATA, message.asbytes()


def read_with(*messages: tuple[int, bytes], to_end: bool = False) -> bytes:
    return RemoteHandle(ScriptedClient(*messages), b"h", "/a").read(0, 4, to_end=to_end)


def test_a_range_is_put_together_from_answers_in_any_order() -> None:
    assert read_with(content(1, b"ab"), content(2, b"cd")) == b"abcd"
    assert read_with(content(1, b"ab"), status(2, 1)) == b"ab"
    assert read_with(status(2, 1), content(1, b"abcd"), to_end=True) == b"abcd"
    assert read_with(content(2, b"e"), content(1, b"abcd"), to_end=True) == b"abcde"
    assert read_with(content(1, b"abcd"), status(2, 4), to_end=True) == b"abcd"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (content(1, b"abcde"), "more bytes than were requested"),
        (status(1, 4), "why"),
        (status(1, 0), "no data"),
        (names(1), "a message 104"),
    ],
)
def test_what_is_no_answer_to_a_read_is_an_error(message: tuple[int, bytes], error: str) -> None:
    with pytest.raises((OSError, paramiko.SFTPError), match=error):
        read_with(message)


def test_writes_are_confirmed_in_any_order() -> None:
    blocks = [b"x" * 40_000, b"y"]
    RemoteHandle(ScriptedClient(status(3, 0), status(1, 0), status(2, 0)), b"h", "/a").write(
        0, blocks
    )
    failing = ScriptedClient(status(3, 0), status(1, 4))
    with pytest.raises(StatusError, match="why") as caught:
        RemoteHandle(failing, b"h", "/a").write(0, blocks)
    assert caught.value.code == sftp.SFTP_FAILURE


def test_a_status_without_a_text_is_named_by_its_code() -> None:
    for code, text in ((3, "Permission denied"), (8, "Operation unsupported"), (99, "unsupported")):
        message = paramiko.Message()
        message.add_int(code)
        message.rewind()
        with pytest.raises(StatusError, match=text):
            ScriptedClient()._convert_status(message)
