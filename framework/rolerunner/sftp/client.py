"""An SFTP session as paramiko has it, for names in any encoding and folders of any size.

Files are read and written here, with many requests in flight, since paramiko expects the answers to
writes in order and ignores those to closing a file. Imported by ``ssh`` alone, once paramiko is
known to be there.
"""

from __future__ import annotations

import errno
import stat
import struct
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Optional

import paramiko
from paramiko import sftp

from rolerunner.sftp.listing import RemoteEntry
from rolerunner.sftp.names import decode_name, encode_path
from rolerunner.sftp.ssh import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LISTED_AHEAD = 16
"""Requests for entries of a folder that are in flight; each is answered with some hundred."""
_IN_FLIGHT = 64
"""Requests of one file that are in flight, as in OpenSSH's own client."""
_READ_BYTES = 1 << 15
"""Bytes of one read; every server answers that much (draft-ietf-secsh-filexfer-02, section 3)."""
_WRITE_BYTES = 31 << 10
"""Bytes of one write, so that a request fits into one message of SSH (32 KiB): ProFTPD mixes up
those of different sessions that do not."""
_MAX_PACKET = 1 << 20
"""Bytes of a message; OpenSSH sends 256 KiB at most."""
_SHOWN = 200
"""Characters of a server's own message that errors show."""
_POSIX_RENAME = b"posix-rename@openssh.com"
_NUMBERS = {sftp.SFTP_NO_SUCH_FILE: errno.ENOENT, sftp.SFTP_PERMISSION_DENIED: errno.EACCES}
_KINDS = {"-": stat.S_IFREG, "d": stat.S_IFDIR, "l": stat.S_IFLNK}
_FLAGS = {
    "read": sftp.SFTP_FLAG_READ,
    "write": sftp.SFTP_FLAG_WRITE,
    "create": sftp.SFTP_FLAG_WRITE | sftp.SFTP_FLAG_CREATE | sftp.SFTP_FLAG_TRUNC,
}


class SftpClient(paramiko.SFTPClient):  # type: ignore[misc]  # paramiko has no types
    """A session whose paths may be in any encoding."""

    can_replace = False
    """True if the server renames a file over another one."""

    def is_closed(self) -> bool:
        """Returns True if the server has ended the session, which its connection may outlive."""
        return bool(self.sock.closed)

    @contextmanager
    def open_file(self, path: str, mode: str) -> Iterator[RemoteHandle]:
        """Opens a file for the block; ``mode`` is read, write (what is there) or create.

        Raises OSError, also if the server fails to close it.
        """
        options = (_FLAGS[mode], paramiko.SFTPAttributes())
        message = self._expect(sftp.CMD_HANDLE, sftp.CMD_OPEN, self._adjust_cwd(path), *options)
        handle = message.get_string()
        try:
            yield RemoteHandle(self, handle, path)
        except BaseException:
            with suppress(Exception):  # the connection may be lost; nobody waits for the answer
                self._send(sftp.CMD_CLOSE, handle)
            raise
        self._request(sftp.CMD_CLOSE, handle)

    def iter_folder(self, path: str) -> Iterator[RemoteEntry]:
        """Yields the entries of a folder as the server sends them."""
        handle = self._expect(
            sftp.CMD_HANDLE, sftp.CMD_OPENDIR, self._adjust_cwd(path)
        ).get_string()
        pending: dict[int, None] = {}
        while True:
            while len(pending) < _LISTED_AHEAD:
                pending[self._send(sftp.CMD_READDIR, handle)] = None
            number, kind, reply = self.receive(pending)
            del pending[number]
            if kind == sftp.CMD_NAME:
                yield from self._parse_names(reply)
            elif self._is_end(kind, reply):
                break
        self._request(sftp.CMD_CLOSE, handle)

    def receive(self, pending: dict[int, Any]) -> tuple[int, int, Any]:
        """Returns the number, the kind and the rest of the next answer to one of the requests."""
        while True:
            kind, data = self._read_packet()
            reply = paramiko.Message(data)
            number = reply.get_int()
            if number in pending:  # others are of requests that nobody waits for any more
                return number, kind, reply

    def check_status(self, kind: int, reply: Any) -> None:
        """Raises OSError unless an answer is the status of success, EOFError at an end."""
        if kind != sftp.CMD_STATUS:
            raise paramiko.SFTPError(f"the server answers with a message {kind}")
        self._convert_status(reply)

    def _adjust_cwd(self, path: str) -> bytes:
        adjusted: bytes = super()._adjust_cwd(encode_path(path))
        return adjusted

    def _expect(self, expected: int, kind: int, *values: Any) -> Any:
        """Returns the answer to a request, which must be of a kind. Raises OSError."""
        answered, reply = self._request(kind, *values)
        if answered != expected:
            raise paramiko.SFTPError(f"the server answers with a message {answered}")
        return reply

    def _send(self, kind: int, *values: Any) -> int:
        """Sends a request and returns its number; ``receive`` returns its answer."""
        number: int = self._async_request(type(None), kind, *values)
        self._expecting.pop(number, None)  # its answer is taken by its number
        return number

    def _send_version(self) -> int:
        """Returns the server's version; notes its extensions."""
        message = paramiko.Message()
        message.add_int(sftp._VERSION)  # noqa: SLF001 - paramiko's own
        self._send_packet(sftp.CMD_INIT, message)
        kind, data = self._read_packet()
        if kind != sftp.CMD_VERSION:
            raise paramiko.SFTPError("Incompatible sftp protocol")
        reply = paramiko.Message(data)
        version: int = reply.get_int()
        while reply.get_remainder():
            self.can_replace |= reply.get_string() == _POSIX_RENAME
            reply.get_string()  # its version
        return version

    def _read_packet(self) -> tuple[int, bytes]:
        start = self._read_all(4)
        (length,) = struct.unpack(">I", start)
        if not 0 < length <= _MAX_PACKET:
            text = start + (self.sock.recv(_SHOWN) if self.sock.recv_ready() else b"")
            raise paramiko.SFTPError(f"the server sends what is not SFTP: {_shorten(text)!r}")
        data: bytes = self._read_all(length)
        return data[0], data[1:]

    def _convert_status(self, reply: Any) -> None:
        code = reply.get_int()
        text = _shorten(reply.get_string())
        if code == sftp.SFTP_EOF:
            raise EOFError(text)
        if code != sftp.SFTP_OK:
            raise StatusError(_NUMBERS.get(code), text or sftp.SFTP_DESC[min(code, 8)], code)

    def _parse_names(self, reply: Any) -> Iterator[RemoteEntry]:
        for _ in range(reply.get_int()):
            name = decode_name(reply.get_string())
            longname = reply.get_string()  # a line as of 'ls -l'
            found = paramiko.SFTPAttributes._from_msg(reply)  # noqa: SLF001 - the only parser
            mode = _complete_mode(found.st_mode, longname)
            if name not in (".", ".."):
                yield RemoteEntry(name, mode, found.st_size, found.st_mtime)

    def _is_end(self, kind: int, reply: Any) -> bool:
        """Returns True at the end of a folder. Raises OSError for another status."""
        try:
            self.check_status(kind, reply)
        except EOFError:
            return True
        raise paramiko.SFTPError("the server answers a listing with no names")


def _shorten(text: bytes) -> str:
    shown = text.decode("utf-8", "backslashreplace")
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _complete_mode(mode: Optional[int], longname: bytes) -> Optional[int]:
    """Returns a mode with the kind of file, which some servers have in the longname alone."""
    if mode is not None and stat.S_IFMT(mode):
        return mode
    kind = _KINDS.get(longname[:1].decode("ascii", "replace"))
    return mode if kind is None else (mode or 0) | kind


class RemoteHandle:
    """An open file of a session."""

    def __init__(self, client: SftpClient, handle: bytes, path: str) -> None:
        self._client = client
        self._handle = handle
        self._path = path

    def stat(self) -> Any:
        """Returns the attributes of the file; those of its path if the server has no others."""
        try:
            reply = self._client._expect(sftp.CMD_ATTRS, sftp.CMD_FSTAT, self._handle)  # noqa: SLF001
        except StatusError as error:
            if error.code != sftp.SFTP_OP_UNSUPPORTED:
                raise
            return self._client.stat(self._path)
        return paramiko.SFTPAttributes._from_msg(reply)  # noqa: SLF001 - the only parser

    def read(self, start: int, length: int, *, to_end: bool = False) -> bytes:
        """Returns the bytes of a range; fewer where the file ends before.

        With ``to_end`` one more byte is requested, and returned if the file is longer.
        """
        end = start + length
        chunks = deque(
            (at, min(_READ_BYTES, end - at)) for at in range(start, end, _READ_BYTES)
        )  # fmt: skip
        if to_end:
            chunks.append((end, 1))
        found = bytearray(length + to_end)
        reached = length + to_end
        pending: dict[int, tuple[int, int]] = {}
        while chunks or pending:
            while chunks and len(pending) < _IN_FLIGHT:
                at, size = chunks.popleft()
                pending[self._send(sftp.CMD_READ, sftp.int64(at), size)] = (at, size)
            number, kind, reply = self._client.receive(pending)
            at, size = pending.pop(number)
            data = self._take_data(kind, reply, is_probe=at == end)
            if len(data) > size:
                raise paramiko.SFTPError("the server sends more bytes than were requested")
            if not data:
                reached = min(reached, at - start)
            found[at - start : at - start + len(data)] = data
            if 0 < len(data) < size:  # some servers answer less than is requested
                chunks.appendleft((at + len(data), size - len(data)))
        return bytes(memoryview(found)[:reached])

    def write(self, start: int, blocks: Iterable[bytes]) -> None:
        """Writes blocks one after another; all of them are confirmed when it returns."""
        at = start
        pending: dict[int, None] = {}
        for block in blocks:
            view = memoryview(block)
            for offset in range(0, len(view), _WRITE_BYTES):
                if len(pending) >= _IN_FLIGHT:
                    self._take_status(pending)
                data = view[offset : offset + _WRITE_BYTES].tobytes()
                pending[self._send(sftp.CMD_WRITE, sftp.int64(at), data)] = None
                at += len(data)
        while pending:
            self._take_status(pending)

    def _send(self, kind: int, *values: Any) -> int:
        return self._client._send(kind, self._handle, *values)  # noqa: SLF001 - of this module

    def _take_status(self, pending: dict[int, None]) -> None:
        number, kind, reply = self._client.receive(pending)
        del pending[number]
        self._client.check_status(kind, reply)

    def _take_data(self, kind: int, reply: Any, *, is_probe: bool) -> bytes:
        """Returns the data of an answer; none at the end of the file. Raises OSError."""
        if kind == sftp.CMD_DATA:
            return bytes(reply.get_string())
        try:
            self._client.check_status(kind, reply)
        except EOFError:
            return b""
        except StatusError:
            if is_probe:  # some servers have no better word for the end
                return b""
            raise
        raise paramiko.SFTPError("the server answers a read with no data")
