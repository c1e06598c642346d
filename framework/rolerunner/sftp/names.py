"""Names of files on a server, which are bytes in an encoding that nobody tells.

UTF-8 is assumed. Bytes that are not UTF-8 are kept as surrogates, as Python keeps them in names of
local files, so that every name leads back to its file.
"""

_KEPT = "surrogateescape"


def decode_name(name: bytes) -> str:
    """Returns a name as text."""
    return name.decode("utf-8", _KEPT)


def encode_path(path: str) -> bytes:
    """Returns the bytes of a path on the server."""
    return path.encode("utf-8", _KEPT)


def show_path(path: str) -> str:
    r"""Returns a path for messages, with ``\xff`` for bytes that are not UTF-8."""
    return path if path.isascii() else encode_path(path).decode("utf-8", "backslashreplace")


def is_utf8(name: str) -> bool:
    """Returns False for a name with bytes that are not UTF-8."""
    return name.isascii() or not any("\udc80" <= each <= "\udcff" for each in name)
