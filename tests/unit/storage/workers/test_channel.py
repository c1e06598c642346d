"""A channel passes each message whole or raises ChannelClosed."""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from rolerunner.redaction.secrets import Secret, register_credential
from rolerunner.storage.workers.channel import Channel, ChannelClosed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = (Channel(end) for end in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_messages_arrive_in_order(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.send("items", [1, 2])
    one.send("close")
    assert other.receive() == ("items", [1, 2])
    assert other.receive() == ("close",)


def test_a_secret_arrives_as_a_secret(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.send("lease", register_credential("a-long-secret-key"))
    _, secret = other.receive()
    assert isinstance(secret, Secret)
    assert str(secret) == "a-long-secret-key"


def test_nothing_is_sent_of_what_cannot_be_pickled(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    with pytest.raises((TypeError, AttributeError)):
        one.send("result", lambda: None)
    one.send("close")
    assert other.receive() == ("close",)


def test_a_closed_channel_is_noticed(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.shut_down()
    one.shut_down()
    with pytest.raises(ChannelClosed):
        other.receive()
    with pytest.raises(ChannelClosed):
        one.send("items")


def test_an_end_that_is_closed_takes_and_sends_nothing(ends: tuple[Channel, Channel]) -> None:
    one, _ = ends
    one.close()
    one.shut_down()
    with pytest.raises(ChannelClosed):
        one.receive()
    with pytest.raises(ChannelClosed):
        one.send("items")


@pytest.mark.skipif(sys.platform != "linux", reason="the timeout is in the form of Linux")
def test_a_process_that_takes_nothing_is_given_up(ends: tuple[Channel, Channel]) -> None:
    one, _ = ends
    one.set_send_timeout(1)
    with pytest.raises(ChannelClosed):
        one.send(bytes(8 << 20))


@pytest.mark.parametrize("data", [b"\0\0", struct.pack("!I", 10) + b"short"])
def test_half_a_message_is_none(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    ours.sendall(data)
    ours.close()
    with pytest.raises(ChannelClosed):
        channel.receive()
    channel.close()
