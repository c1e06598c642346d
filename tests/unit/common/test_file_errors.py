"""Errors of local files: their types and hints."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from rolerunner.common.file_errors import (
    file_replaced_error,
    not_regular_file_error,
    translate_os_errors,
)
from rolerunner.errors import LocalFileFailed


def translated(error: Exception) -> LocalFileFailed:
    with pytest.raises(LocalFileFailed) as caught, translate_os_errors("/x/a"):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOSPC, "DiskFull", "the disk is full"),
        (errno.EDQUOT, "DiskFull", "the disk quota is used up"),
        (errno.EACCES, "LocalFileFailed", "the folder or file is not writable"),
        (errno.EROFS, "LocalFileFailed", "the file system is read-only"),
        (errno.EMFILE, "LocalFileFailed", "no more open files are allowed"),
        (errno.ENOENT, "LocalFileFailed", "there is no such folder or file: check the path"),
        (errno.ENXIO, "LocalFileFailed", "ENXIO"),
        (errno.EIO, "LocalFileFailed", "the disk, or the network"),
        (errno.EFBIG, "LocalFileFailed", "a file may not become so large"),
    ],
)
def test_an_error_names_the_path_the_reason_and_what_to_do(
    number: int, kind: str, hint: str
) -> None:
    error = translated(OSError(number, "lower case"))
    assert error.message == f"/x/a: {os.strerror(number)}"
    assert error.type == kind
    assert error.hint.startswith(hint)


def test_an_error_without_a_number_keeps_its_text() -> None:
    error = translated(OSError("broken"))
    assert (error.message, error.hint) == ("/x/a: broken", "OSError")


def test_a_name_without_an_encoding_is_named() -> None:
    error = translated(UnicodeEncodeError("utf-8", "a\ud83d", 1, 2, "surrogates"))
    assert error.type == "FileNameNotEncodable"
    assert error.message.endswith(r"which has no '\ud83d'")


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="x"), translate_os_errors("/x/a"):
        raise ValueError("x")


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        (stat.S_IFIFO, "a named pipe"),
        (stat.S_IFSOCK | 0o600, "a socket"),
        (stat.S_IFCHR, "a device"),
        (stat.S_IFBLK, "a device"),
        (stat.S_IFDIR, "a folder"),
        (0, "no regular file"),
    ],
)
def test_other_kinds_of_files_are_named(mode: int, name: str) -> None:
    error = not_regular_file_error("/x/a", mode)
    assert (error.message, error.type) == (f"/x/a: is {name}, which is not read", "NotAFile")


def test_a_replaced_file_has_its_type() -> None:
    assert file_replaced_error("/x/a").type == "FileReplaced"
