"""Compares objects, files and folders with what is expected of them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.wording import format_count
from rolerunner.spec_testing.contents import UnreadableObject, read_object
from rolerunner.spec_testing.mismatches import (
    Mismatch,
    compare_values,
    find_pattern,
    format_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import S3Uri
    from rolerunner.sandbox import Sandbox
    from rolerunner.spec_testing.case import Case
    from rolerunner.spec_testing.contents import Content
    from rolerunner.spec_testing.expectations import ExpectedFile, ExpectedObject


def compare_object(
    uri: S3Uri, wanted: ExpectedObject, case: Case, aws: Sandbox
) -> Iterator[Mismatch]:
    """Yields how an object, or a prefix, differs from what is expected."""
    account = next(bucket.account for bucket in case.world.buckets if bucket.name == uri.bucket)
    try:
        found = read_object(aws, uri, account)
    except UnreadableObject as error:
        yield Mismatch(f"objects.{uri}", "an object that can be read", str(error))
    else:
        yield from compare_content(f"objects.{uri}", wanted, found, case)


def compare_content(
    what: str, expected: ExpectedFile, found: Optional[Content], case: Case
) -> Iterator[Mismatch]:
    """Yields how a file or a folder differs from what is expected; None stands for nothing."""
    if expected.absent:
        if found is not None and found.names != ():
            yield Mismatch(what, "nothing there", found.summary())
    elif found is None:
        yield Mismatch(what, "something there", "nothing there")
    elif found.names is not None:
        yield from _of_names(what, expected, found.names)
    else:
        yield from _of_body(what, expected, found, case)
        for name in _STORED & expected.model_fields_set:
            yield from compare_values(
                f"{what}.{name}", getattr(expected, name), found.stored.get(name)
            )


_STORED = {"content_type", "metadata", "tags", "encryption", "storage_class"}


def _of_names(what: str, expected: ExpectedFile, names: tuple[str, ...]) -> Iterator[Mismatch]:
    if expected.count is not None:
        yield from compare_values(f"{what}.count", expected.count, len(names), format_value(names))
    if expected.names is not None:
        yield from compare_values(f"{what}.names", sorted(expected.names), sorted(names))
    if expected.count is None and expected.names is None and not names:
        yield Mismatch(what, "something there", "nothing there")


def _of_body(what: str, expected: ExpectedFile, found: Content, case: Case) -> Iterator[Mismatch]:
    text = found.body.decode("utf-8", "backslashreplace")
    if expected.text is not None:
        yield from compare_values(f"{what}.text", expected.text, text)
    yield from find_pattern(f"{what}.contains", expected.contains, text)
    if expected.size is not None:
        yield from compare_values(f"{what}.size", expected.size, len(found.body))
    if expected.gzip is not None:
        yield from compare_values(f"{what}.gzip", expected.gzip, _decompress_text(found.body))
    if "json_" in expected.model_fields_set:
        yield from compare_values(f"{what}.json", expected.json_, _parse_json(text))
    if expected.file is not None and case.resolve_path(expected.file).read_bytes() != found.body:
        yield Mismatch(
            f"{what}.file", f"the bytes of {expected.file}", f"{len(found.body)} other bytes"
        )


def _decompress_text(body: bytes) -> str:
    try:
        return gzip.decompress(body).decode("utf-8", "backslashreplace")
    except (OSError, EOFError, ValueError):
        return f"not gzip: {format_count(len(body), 'byte')}"


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return f"not JSON: {text}"
