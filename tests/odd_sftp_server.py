"""An SFTP server with the habits of appliances and gateways, which OpenSSH does not have.

It serves a folder of the disk over paramiko's SSH server, one thread a session. ``server.hook`` is
called with each request before it is executed, and decides its outcome: None executes it; a status
such as ``FAILURE`` is answered instead; ``DROP`` closes the connection without executing it;
``LOSE`` executes it and closes the connection before the answer; ``STALL`` answers
nothing any more.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Optional, Union

import paramiko
from paramiko import sftp

from tests.ssh_transports import serve_ssh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DROP, LOSE, STALL = "drop", "lose", "stall"
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, UNSUPPORTED = 0, 1, 2, 3, 4, 8
_APPEND, _CREATE, _TRUNCATE, _WRITE = 4, 8, 16, 2
_NAMES_AT_ONCE = 100
_TYPES = {stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFREG: "-"}


class SftpRequest(NamedTuple):
    """A received request; ``path`` is that of its handle where it has one."""

    kind: int
    path: str
    extension: str = ""
    flags: int = 0


@dataclass
class OddServer:
    """A running server, and what it does otherwise than OpenSSH."""

    root: Path
    hook: Optional[Callable[[SftpRequest], Union[int, str, None]]] = None
    extensions: tuple[str, ...] = ("posix-rename@openssh.com",)
    rename_replaces: bool = False
    greeting: bytes = b""
    """Bytes that the channel begins with, such as the output of a login script."""
    most_bytes: int = 1 << 20
    """Bytes that a read returns at most."""
    reorders: bool = False
    """Answers what was requested together in the reverse order."""
    describe: Callable[[os.stat_result], os.stat_result] = field(default=lambda found: found)
    """Returns what is reported of a file."""
    attributes: int = 0b1101
    """The kinds of attributes that are reported: 1 sizes, 4 permissions, 8 times."""
    listed_attributes: Optional[int] = None
    """Those that listings report, if they are others."""
    keeps_kinds: bool = True
    """False leaves out the kind of a file from its permissions."""
    message: bytes = b"why"
    password: str = ""
    """Answers to keyboard-interactive authentication, the only one where it is set."""
    prompts: tuple[tuple[str, bool], ...] = (("Password: ", False),)
    sessions: int = 100
    """Sessions of a connection that are opened."""
    port: int = 0
    host_key: Any = field(default_factory=paramiko.ECDSAKey.generate)
    connections: int = 0
    folds_case: bool = False
    starts_subsystems: bool = True
    """False answers nothing to a request for SFTP."""
    requests: list[SftpRequest] = field(default_factory=list)
    largest_request: int = 0
    answered: list[str] = field(default_factory=list)
    """The answers of users to prompts."""
    channels: list[Any] = field(default_factory=list)

    def close_idle_sessions(self) -> None:
        """Closes all sessions, but not their connections."""
        while self.channels:
            self.channels.pop().close()

    @property
    def line(self) -> str:
        """The line of its host key."""
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"


class _Login(paramiko.ServerInterface):  # type: ignore[misc]  # paramiko has no types
    def __init__(self, server: OddServer) -> None:
        self._server = server
        self._opened = 0

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "keyboard-interactive" if self._server.password else "publickey"

    def check_auth_publickey(self, username: str, key: Any) -> int:
        del username, key
        refused = bool(self._server.password)
        return int(paramiko.AUTH_FAILED if refused else paramiko.AUTH_SUCCESSFUL)

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        del username, submethods
        query = paramiko.InteractiveQuery("login")
        for prompt, shows in self._server.prompts:
            query.add_prompt(prompt, shows)
        return query

    def check_auth_interactive_response(self, responses: Any) -> int:
        self._server.answered.extend(responses)
        good = list(responses) == [self._server.password]
        return int(paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED)

    def check_channel_subsystem_request(self, channel: Any, name: str) -> bool:
        if not self._server.starts_subsystems:
            threading.Event().wait(5)
        return bool(super().check_channel_subsystem_request(channel, name))

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        self._opened += 1
        refused = self._opened > self._server.sessions
        return int(
            paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED if refused else paramiko.OPEN_SUCCEEDED
        )


class _Session(paramiko.SubsystemHandler):  # type: ignore[misc]
    """The requests of one session."""

    def __init__(self, channel: Any, name: str, login: Any, server: OddServer) -> None:
        super().__init__(channel, name, login)
        self._odd = server
        self._channel = channel
        self._open: dict[bytes, tuple[str, Union[IO[bytes], list[str]]]] = {}
        self._answers: list[bytes] = []

    def start_subsystem(self, name: str, transport: Any, channel: Any) -> None:
        del name
        self._odd.channels.append(channel)
        if self._odd.greeting:
            channel.sendall(self._odd.greeting)
        with suppress(EOFError, OSError, paramiko.SSHException):
            while True:
                kind, message = self._read()
                outcome = self._answer(kind, message)
                if outcome in (DROP, LOSE):
                    transport.close()
                    return
                if outcome == STALL:
                    while self._channel.recv(1 << 15):
                        pass
                    return
                if not (self._odd.reorders and channel.recv_ready()):
                    self._send_answers()

    def finish_subsystem(self) -> None:
        for _, opened in self._open.values():
            if not isinstance(opened, list):
                opened.close()

    def _read_exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._channel.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _read(self) -> tuple[int, Any]:
        (length,) = struct.unpack(">I", self._read_exactly(4))
        data = self._read_exactly(length)
        self._odd.largest_request = max(self._odd.largest_request, length + 4)
        return data[0], paramiko.Message(data[1:])

    def _send_answers(self) -> None:
        for each in reversed(self._answers):
            self._channel.sendall(each)
        self._answers.clear()

    def _reply(self, kind: int, *values: Union[int, bytes]) -> None:
        message = paramiko.Message()
        for each in values:
            message.add_int(each) if isinstance(each, int) else message.add_bytes(each)
        data = bytes([kind]) + message.asbytes()
        self._answers.append(struct.pack(">I", len(data)) + data)

    def _status(self, number: int, code: int) -> None:
        self._reply(sftp.CMD_STATUS, number, code, _text(self._odd.message), _text(b"en"))

    def _answer(self, kind: int, message: Any) -> Union[int, str, None]:
        number = message.get_int()
        if kind == sftp.CMD_INIT:
            outcome = self._odd.hook(SftpRequest(kind, "")) if self._odd.hook is not None else None
            if outcome is not None:
                return outcome
            pairs = b"".join(_text(each.encode()) + _text(b"1") for each in self._odd.extensions)
            self._reply(sftp.CMD_VERSION, 3, pairs)
            return None
        first = message.get_string()
        extension = first.decode() if kind == sftp.CMD_EXTENDED else ""
        name = message.get_string() if extension else first
        path = self._open[name][0] if name in self._open else os.fsdecode(name)
        rest = paramiko.Message(message.get_remainder())
        flags = rest.get_int() if kind == sftp.CMD_OPEN else 0
        rest.rewind()
        request = SftpRequest(kind, path, extension, flags)
        self._odd.requests.append(request)
        outcome = self._odd.hook(request) if self._odd.hook is not None else None
        if outcome in (DROP, STALL):
            return outcome
        if isinstance(outcome, int):
            self._status(number, outcome)
            return None
        try:
            self._execute(number, request, name, rest)
        except FileNotFoundError:
            self._status(number, NO_SUCH_FILE)
        except PermissionError:
            self._status(number, PERMISSION_DENIED)
        except OSError:
            self._status(number, FAILURE)
        return outcome

    def _execute(self, number: int, request: SftpRequest, handle: bytes, message: Any) -> None:
        kind, path = request.kind, request.path
        if kind == sftp.CMD_OPEN:
            self._open_file(number, path, request.flags)
        elif kind == sftp.CMD_OPENDIR:
            self._reply_handle(number, path, [".", "..", *sorted(os.listdir(self._place(path)))])
        elif kind == sftp.CMD_READDIR:
            self._list(number, handle)
        elif kind == sftp.CMD_READ:
            self._read_data(number, handle, message.get_int64(), message.get_int())
        elif kind == sftp.CMD_WRITE:
            opened = self._file(handle)
            opened.seek(message.get_int64())
            opened.write(message.get_string())
            self._status(number, OK)
        elif kind in (sftp.CMD_STAT, sftp.CMD_LSTAT, sftp.CMD_FSTAT):
            found = os.stat(self._place(path), follow_symlinks=kind != sftp.CMD_LSTAT)
            self._reply(sftp.CMD_ATTRS, number, self._pack(found, self._odd.attributes))
        elif kind == sftp.CMD_REALPATH:
            text = _text(os.fsencode(os.path.normpath(f"/{path}")))
            self._reply(sftp.CMD_NAME, number, 1, text, text, bytes(4))
        else:
            self._change(kind, request, handle, message)
            self._status(number, OK)

    def _change(self, kind: int, request: SftpRequest, handle: bytes, message: Any) -> None:
        place = self._place(request.path)
        if kind == sftp.CMD_CLOSE:
            _, opened = self._open.pop(handle)
            if not isinstance(opened, list):
                opened.close()
        elif kind == sftp.CMD_REMOVE:
            place.unlink()
        elif kind == sftp.CMD_MKDIR:
            place.mkdir()
        elif kind in (sftp.CMD_SETSTAT, sftp.CMD_FSETSTAT):
            self._set(place, paramiko.SFTPAttributes._from_msg(message))
        elif kind in (sftp.CMD_RENAME, sftp.CMD_EXTENDED):
            if kind == sftp.CMD_EXTENDED and request.extension not in self._odd.extensions:
                raise OSError("unsupported")
            target = self._place(os.fsdecode(message.get_string()))
            replaces = self._odd.rename_replaces or kind == sftp.CMD_EXTENDED
            if target.exists() and not replaces:
                raise OSError("it exists")
            place.rename(target)
        else:
            raise OSError("unsupported")

    def _set(self, place: Path, new: Any) -> None:
        if new.st_size is not None:
            os.truncate(place, new.st_size)
        if new.st_mtime is not None:
            os.utime(place, (new.st_atime, new.st_mtime))

    def _open_file(self, number: int, path: str, flags: int) -> None:
        place = self._place(path)
        if flags & _WRITE:
            mode = "wb" if flags & _TRUNCATE or not place.exists() else "r+b"
        else:
            mode = "rb"
        self._reply_handle(number, path, place.open(mode, buffering=0))

    def _reply_handle(self, number: int, path: str, opened: Union[IO[bytes], list[str]]) -> None:
        handle = b"handle %d" % number
        self._open[handle] = (path, opened)
        self._reply(sftp.CMD_HANDLE, number, _text(handle))

    def _file(self, handle: bytes) -> IO[bytes]:
        opened = self._open[handle][1]
        if isinstance(opened, list):
            raise OSError("no file")
        return opened

    def _read_data(self, number: int, handle: bytes, start: int, length: int) -> None:
        opened = self._file(handle)
        opened.seek(start)
        data = opened.read(min(length, self._odd.most_bytes))
        if data:
            self._reply(sftp.CMD_DATA, number, _text(data))
        else:
            self._status(number, EOF)

    def _list(self, number: int, handle: bytes) -> None:
        path, names = self._open[handle]
        assert isinstance(names, list)
        now, names[:] = names[:_NAMES_AT_ONCE], names[_NAMES_AT_ONCE:]
        if not now:
            self._status(number, EOF)
            return
        listed = self._odd.listed_attributes
        listed = self._odd.attributes if listed is None else listed
        entries = b""
        for name in now:
            found = os.stat(self._place(path) / name, follow_symlinks=False)
            kind = _TYPES.get(stat.S_IFMT(found.st_mode), "?")
            longname = f"{kind}rw-r--r-- 1 a b {found.st_size} Jan 1 00:00 ".encode()
            encoded = os.fsencode(name)
            entries += _text(encoded) + _text(longname + encoded) + self._pack(found, listed)
        self._reply(sftp.CMD_NAME, number, len(now), entries)

    def _pack(self, found: os.stat_result, flags: int) -> bytes:
        found = self._odd.describe(found)
        mode = found.st_mode if self._odd.keeps_kinds else stat.S_IMODE(found.st_mode)
        packed = struct.pack(">I", flags)
        packed += struct.pack(">Q", found.st_size) if flags & 1 else b""
        packed += struct.pack(">I", mode) if flags & 4 else b""
        times = (int(found.st_atime), int(found.st_mtime))
        return packed + (struct.pack(">II", *times) if flags & 8 else b"")

    def _place(self, path: str) -> Path:
        place = path.lower() if self._odd.folds_case else path
        return self._odd.root / place.lstrip("/")


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@contextmanager
def start_odd_server(root: Path, **habits: Any) -> Iterator[OddServer]:
    """Runs a server while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = OddServer(root, port=listener.getsockname()[1], **habits)

    def begin_login() -> _Login:
        server.connections += 1
        return _Login(server)

    with serve_ssh(listener, server.host_key, begin_login, _Session, server):
        yield server
