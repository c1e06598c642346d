"""Inventories: the rows of a list in each format, and the files that are left by an error."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.inventory import write_inventory
from rolerunner.selection.manifest import ManifestWriter, ObjectList
from rolerunner.storage.protocol import ObjectInfo

HEAD = "uri,key,size,etag,modified,version,storage_class"
INFOS = [
    ObjectInfo("in/a", 3, "e1", "2026-01-02T03:04:05Z"),
    ObjectInfo('in/b,"c"', 0, "e2", version="v1", storage_class="GLACIER"),
]


def listed(folder: Path, infos: list[ObjectInfo]) -> ObjectList:
    with ManifestWriter(folder / "list.jsonl") as manifest:
        for info in infos:
            manifest.add_object(info)
    return manifest.objects(S3Uri("box", "in/"))


def test_json_lines_have_a_line_for_each_object(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write_inventory(listed(tmp_path, INFOS), path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[0] == {
        "uri": "s3://box/in/a",
        "key": "in/a",
        "size": 3,
        "etag": "e1",
        "modified": "2026-01-02T03:04:05Z",
        "version": "",
        "storage_class": INFOS[0].storage_class,
    }
    assert (rows[1]["key"], rows[1]["version"]) == ('in/b,"c"', "v1")
    assert len(rows) == 2


def test_csv_has_a_header_and_quotes_keys(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_inventory(listed(tmp_path, INFOS), path)
    lines = path.read_bytes().decode().split("\r\n")
    assert lines[0] == HEAD
    assert lines[2] == '"s3://box/in/b,""c""","in/b,""c""",0,e2,,v1,GLACIER'
    assert lines[3:] == [""]


@pytest.mark.parametrize(("suffix", "content"), [(".jsonl", b""), (".csv", f"{HEAD}\r\n".encode())])
def test_an_empty_list(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"out{suffix}"
    write_inventory(listed(tmp_path, []), path)
    assert path.read_bytes() == content


def test_without_pyarrow_parquet_is_an_error_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "made" / "out.parquet"
    path.parent.mkdir()
    with pytest.raises(StepError, match="needs pyarrow") as caught:
        write_inventory(listed(tmp_path, INFOS), path)
    assert (caught.value.type, caught.value.hint) == (
        "Missing",
        "pip install pyarrow, or write .csv",
    )
    assert list(path.parent.iterdir()) == []
