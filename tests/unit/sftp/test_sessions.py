"""Sessions are lent to one thread at a time, opened again when lost, and fewer where refused."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.sftp import sessions as module
from rolerunner.sftp import ssh
from rolerunner.sftp.host_keys import TrustedKeys
from rolerunner.sftp.server import SftpServer
from rolerunner.sftp.sessions import SftpSessions, wait_for
from rolerunner.sftp.ssh import ConnectionLost

SERVER = SftpServer("h", 22, "u", TrustedKeys(()))


class Transport:
    """A connection that is up until it is closed."""

    def __init__(self) -> None:
        self.is_up = True

    def is_active(self) -> bool:
        return self.is_up

    def is_closed(self) -> bool:
        """As a session, which is one as well."""
        return not self.is_up

    def close(self) -> None:
        self.is_up = False


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Transport]:
    """The connections that were opened."""
    found: list[Transport] = []

    def connect(server: SftpServer) -> Transport:
        del server
        found.append(Transport())
        return found[-1]

    monkeypatch.setattr(ssh, "connect", connect)
    monkeypatch.setattr(ssh, "open_channel", lambda *_: Transport())
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.0, 0.0))
    return found


def test_a_session_is_used_again(opened: list[Transport]) -> None:
    with SftpSessions(SERVER, 2, Cancel()) as sessions:
        one = sessions.run(lambda client: client, "/a", "read it")
        assert sessions.run(lambda client: client, "/a", "read it") is one
    assert [each.is_up for each in opened] == [False]


def test_a_server_that_is_gone_is_not_connected_to_for_each_file(
    opened: list[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[SftpServer] = []

    def refuse(server: SftpServer) -> Transport:
        attempts.append(server)
        raise ConnectionLost("refused")

    with SftpSessions(SERVER, 2, Cancel()) as sessions:
        sessions.connect()
        opened[0].close()
        monkeypatch.setattr(ssh, "connect", refuse)
        for _ in range(5):
            with pytest.raises(StepError, match="refused"):
                sessions.run(lambda _: None, "/a", "read it")
    assert len(attempts) == 3


def test_a_lost_connection_is_opened_again(opened: list[Transport]) -> None:
    def fail_twice(client: Any) -> str:
        del client
        if len(opened) < 3:
            opened[-1].is_up = False
            raise EOFError
        return "done"

    with SftpSessions(SERVER, 2, Cancel()) as sessions:
        assert sessions.run(fail_twice, "/a", "read it") == "done"
    assert len(opened) == 3


@pytest.mark.parametrize("advances", [False, True])
def test_attempts_count_from_the_last_progress(advances: bool, opened: list[Transport]) -> None:
    done = 0

    def lose(client: Any) -> None:
        nonlocal done
        del client
        done += 1
        if done < 8 or not advances:
            raise ConnectionResetError

    with SftpSessions(SERVER, 1, Cancel()) as sessions:
        if advances:
            sessions.run(lose, "/a", "read it", lambda: done)
        else:
            with pytest.raises(ssh.ConnectionLost):
                sessions.run(lose, "/a", "read it")
    assert done == (8 if advances else 3)
    assert opened


def test_an_answer_of_the_server_is_not_tried_again(opened: list[Transport]) -> None:
    calls = []

    def refuse(client: Any) -> None:
        calls.append(client)
        raise PermissionError(13, "Permission denied")

    with SftpSessions(SERVER, 1, Cancel()) as sessions, pytest.raises(StepError, match="allow"):
        sessions.run(refuse, "/a", "read it")
    assert len(calls) == len(opened) == 1


def test_a_connection_that_was_never_made_is_not_tried_again(
    opened: list[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refuse(server: SftpServer) -> None:
        calls.append(server)
        raise ssh.ConnectionLost("refused", type="ConnectionRefused")

    monkeypatch.setattr(ssh, "connect", refuse)
    with SftpSessions(SERVER, 1, Cancel()) as sessions, pytest.raises(StepError, match="refused"):
        sessions.run(lambda _: None, "/a", "read it")
    assert len(calls) == 1
    assert not opened


def test_after_the_end_nothing_is_lent(opened: list[Transport]) -> None:
    sessions = SftpSessions(SERVER, 1, Cancel())
    sessions.close()
    with pytest.raises(StepError) as caught:
        sessions.run(lambda _: None, "/a", "read it")
    assert caught.value.type == "Stopped"
    assert not opened


def test_a_first_session_that_breaks_off_means_no_sftp(
    opened: list[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: Any) -> None:
        raise EOFError

    monkeypatch.setattr(ssh, "open_channel", break_off)
    with SftpSessions(SERVER, 1, Cancel()) as sessions, pytest.raises(StepError) as caught:
        sessions.run(lambda _: None, "/a", "read it")
    assert caught.value.type == "NoSftp"
    assert len(opened) == 1


def test_a_later_session_that_breaks_off_is_opened_again(
    opened: list[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    channels: list[Transport] = []

    def open_channel(*_: Any) -> Transport:
        channels.append(Transport())
        if len(channels) == 2:
            raise EOFError
        return channels[-1]

    def lose_first(client: Any) -> str:
        if client is channels[0]:
            raise ConnectionResetError
        return "done"

    monkeypatch.setattr(ssh, "open_channel", open_channel)
    with SftpSessions(SERVER, 1, Cancel()) as sessions:
        assert sessions.run(lose_first, "/a", "read it") == "done"
    assert (len(channels), len(opened)) == (3, 3)


def test_a_connection_that_breaks_with_an_answer_is_lost(opened: list[Transport]) -> None:
    def fail_once(client: Any) -> str:
        del client
        if len(opened) == 1:
            opened[-1].is_up = False
            raise OSError("Failure")
        return "done"

    with SftpSessions(SERVER, 1, Cancel()) as sessions:
        assert sessions.run(fail_once, "/a", "read it") == "done"
    assert len(opened) == 2


def test_a_session_whose_connection_has_ended_is_not_lent(opened: list[Transport]) -> None:
    with SftpSessions(SERVER, 1, Cancel()) as sessions:
        sessions.run(lambda client: client, "/a", "read it")
        opened[-1].is_up = False
        sessions.run(lambda client: client, "/a", "read it")
    assert len(opened) == 2


def test_a_result_that_is_a_timeout_is_raised() -> None:
    done: Future[None] = Future()
    done.set_exception(FutureTimeout())
    with pytest.raises(FutureTimeout):
        wait_for(done, Cancel())


def test_waiting_ends_when_the_operation_has_to_stop() -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepError, match="stopped"):
        wait_for(Future(), cancel)
    with ThreadPoolExecutor(1) as pool:
        assert wait_for(pool.submit(lambda: 1), Cancel()) == 1
