"""Reads the text of specs, of the files they include and of params, from files and from S3."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from rolerunner.errors import Mark, Problem, SpecError, UsageError
from rolerunner.model import S3Uri
from rolerunner.spec.values import FileValue
from rolerunner.spec.yaml_parser import MAX_BYTES, parse_document

if TYPE_CHECKING:
    from rolerunner.spec.document import Document

ReadObject = Callable[[str, int], bytes]
"""Reads an S3 URI, up to a number of bytes. Raises UsageError."""

MAX_READ = MAX_BYTES * 4
"""Bytes read of one file: the longest text allowed, with UTF-8's four bytes a character."""


def read_text(place: str, read_object: Optional[ReadObject] = None) -> tuple[str, str]:
    """Returns the text at a path or S3 URI, and the name by which errors refer to it.

    S3 is read through ``read_object``. Raises UsageError, and SpecError if it is not UTF-8.
    """
    if not place.startswith("s3://"):
        data = _read_file(Path(place))
    elif read_object is not None:
        data = read_object(place, MAX_READ)
    else:
        raise UsageError(f"{place}: only local files can be read here")
    try:
        return data.decode("utf-8-sig"), place
    except UnicodeDecodeError as error:
        raise _report_encoding(place, data, error.start) from None


def _report_encoding(place: str, data: bytes, position: int) -> SpecError:
    """Returns the error of a file that is not UTF-8, at its first wrong byte."""
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    message = "not UTF-8 text but UTF-16" if is_utf16 else "not UTF-8 text"
    start = data.rfind(b"\n", 0, position) + 1
    column = len(data[start:position].decode("utf-8")) + 1
    mark = Mark(place, data.count(b"\n", 0, position) + 1, column)
    return SpecError([Problem(mark, message, "save the file as UTF-8")])


def read_documents(
    spec: str, read_object: Optional[ReadObject] = None, env: str = ""
) -> list[Document]:
    """Returns the spec and the files that it includes, with the place of every value.

    ``env`` names the environment whose values they have.

    Raises SpecError, UsageError.
    """
    text, name = read_text(spec, read_object)
    own = parse_document(text, name)
    included = [
        parse_document(*read_text(resolve_include(name, each), read_object))
        for each in own.data.get("include") or ()
    ]
    if not env:
        return [own, *included]
    from rolerunner.spec.environments import apply_environment  # noqa: PLC0415 - few specs have environments

    return apply_environment(env, own, included)


def read_mapping(file: str) -> dict[str, Any]:
    """Returns the mapping in a YAML file. Raises UsageError, SpecError."""
    text, name = read_text(file)
    data = parse_document(text, name).data
    if not isinstance(data, dict):
        raise UsageError(f"{file}: must be a mapping")
    return data


def read_params_file(file: str) -> dict[str, FileValue]:
    """Returns the params in a YAML or JSON file. Raises UsageError, SpecError.

    No error shows the file's content.
    """
    document = parse_document(*read_text(file), show_text=False)
    if not isinstance(document.data, dict):
        raise UsageError(f"{file}: a params file must be a mapping of NAME: VALUE")
    return {name: FileValue(value, document.mark((name,))) for name, value in document.data.items()}


def read_param_text(file: str) -> FileValue:
    """Returns a whole file as a param's text, without its last line break.

    Raises UsageError, SpecError.
    """
    text, _ = read_text(str(Path(file)))
    return FileValue(re.sub(r"\r?\n\Z", "", text), Mark(file, 1, 1))


def resolve_include(spec: str, include: str) -> str:
    """Returns the path or URI of an included file, which must lie below the spec's folder.

    Raises UsageError.
    """
    if include.startswith(("/", "~", "s3://")) or ".." in Path(include).parts:
        raise UsageError("the path must be relative to the spec's folder, without '..'")
    if spec.startswith("s3://"):
        uri = S3Uri.parse(spec)
        key = posixpath.join(posixpath.dirname(uri.key), include)
        return str(S3Uri(uri.bucket, posixpath.normpath(key)))
    folder = Path(spec).parent
    path = folder / include
    try:
        if folder.resolve() not in path.resolve().parents:
            raise UsageError("it is a link to a place outside the spec's folder")
        if path.exists() and not path.is_file():
            raise UsageError("it is not a regular file")
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, a circle of links
        raise UsageError(f"it cannot be the path of a file: {_describe_error(error)}") from None
    return str(path)


def _read_file(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; name a spec in it")
        with path.open("rb") as file:
            return file.read(MAX_READ)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {_describe_error(error)}") from None


def _describe_error(error: Exception) -> str:
    return str((error.strerror if isinstance(error, OSError) else "") or error)
