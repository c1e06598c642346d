"""An SFTP session as paramiko has it, for names in any encoding and folders of any size.

Imported by ``ssh`` alone, once paramiko is known to be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import paramiko
from paramiko import sftp

from rolerunner.sftp.listing import RemoteEntry
from rolerunner.sftp.names import decode_name, encode_path

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_AHEAD = 16
"""Requests for entries of a folder that are in flight; each is answered with some hundred."""


class SftpClient(paramiko.SFTPClient):  # type: ignore[misc]  # paramiko has no types
    """A session whose paths may be in any encoding."""

    def _adjust_cwd(self, path: str) -> bytes:
        adjusted: bytes = super()._adjust_cwd(encode_path(path))
        return adjusted

    def iter_folder(self, path: str) -> Iterator[RemoteEntry]:
        """Yields the entries of a folder as the server sends them."""
        kind, reply = self._request(sftp.CMD_OPENDIR, self._adjust_cwd(path))
        if kind != sftp.CMD_HANDLE:
            raise paramiko.SFTPError("the server returned no handle of the folder")
        handle = reply.get_string()
        pending: set[int] = set()
        while True:
            while len(pending) < _READ_AHEAD:
                pending.add(self._async_request(type(None), sftp.CMD_READDIR, handle))
            kind, data = self._read_packet()
            reply = paramiko.Message(data)
            number = reply.get_int()
            if number not in pending:  # of a request that nobody waits for any more
                continue
            pending.discard(number)
            if kind == sftp.CMD_NAME:
                yield from self._parse_names(reply)
            elif self._is_end(kind, reply):
                break
        self._request(sftp.CMD_CLOSE, handle)

    def _parse_names(self, reply: Any) -> Iterator[RemoteEntry]:
        for _ in range(reply.get_int()):
            name = decode_name(reply.get_string())
            reply.get_string()  # a line as of 'ls -l', which says nothing more
            found = paramiko.SFTPAttributes._from_msg(reply)  # noqa: SLF001 - the only parser
            if name not in (".", ".."):
                yield RemoteEntry(name, found.st_mode, found.st_size, found.st_mtime)

    def _is_end(self, kind: int, reply: Any) -> bool:
        """Returns True at the end of a folder. Raises OSError for another status."""
        if kind != sftp.CMD_STATUS:
            raise paramiko.SFTPError(f"the server answers a listing with a message {kind}")
        try:
            self._convert_status(reply)
        except EOFError:
            return True
        raise paramiko.SFTPError("the server answers a listing with no names")
