"""Idle connections are used again while they are alive."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.storage.http import connection_pool
from rolerunner.storage.http.connection_pool import BlockingConnection, ConnectionPool

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Any = "here"
THERE: Any = "there"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def create_pool() -> ConnectionPool:
    net: Any = None
    return ConnectionPool(net)


def test_an_idle_connection_is_used_for_its_address(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    pool = create_pool()
    connection = BlockingConnection(HERE, pair[0])
    pool.release(connection)
    assert pool.acquire(THERE) is None
    assert pool.acquire(HERE) is connection
    assert pool.acquire(HERE) is None


def test_a_connection_that_the_server_closed_is_not_used(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    pool = create_pool()
    pool.release(BlockingConnection(HERE, pair[0]))
    pair[1].close()
    assert pool.acquire(HERE) is None
    assert pair[0].fileno() == -1


def test_an_old_connection_is_not_used(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = create_pool()
    monkeypatch.setattr(connection_pool, "_MAX_IDLE_SECONDS", 0)
    pool.release(BlockingConnection(HERE, pair[0]))
    assert pool.acquire(HERE) is None
    assert pair[0].fileno() == -1


def test_close_closes_idle_connections(pair: tuple[socket.socket, socket.socket]) -> None:
    pool = create_pool()
    pool.release(BlockingConnection(HERE, pair[0]))
    pool.close()
    assert pair[0].fileno() == -1
    assert pool.acquire(HERE) is None


def test_memory_is_used_again() -> None:
    pool = create_pool()
    with pool.borrow_memory(10) as memory:
        memory[:] = b"x" * 10
    with pool.borrow_memory(4) as memory:
        assert bytes(memory) == b"xxxx"
    with pool.borrow_memory(20) as memory:
        assert len(memory) == 20
