"""Lists in every format, right and wrong, read in pieces of any size."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.selection.list_files import pieces as pieces_module
from rolerunner.selection.list_files.entries import UNKNOWN_SIZE, BadLine
from rolerunner.selection.list_files.pieces import FilePieces
from rolerunner.selection.list_files.reader import ListReader

if TYPE_CHECKING:
    from pathlib import Path


def read(
    folder: Path, data: Any, form: str = "text", column: str = "", *, versions: bool = False
) -> list[Any]:
    path = folder / "list"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    place = FilePieces(None, Cancel())
    reader = ListReader(str(path), form, column, versions, place, folder / "work")
    return [entry for _, entry in reader.read()]


def names(entries: list[Any]) -> list[tuple[int, str, str]]:
    return [(entry.line, entry.bucket, entry.info.key) for entry in entries]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_text_is_the_same_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, packed: bool
) -> None:
    monkeypatch.setattr(pieces_module, "_PIECE", size)
    text = "\ufeffa b\r\n\r\n ü \ns3://b-1/x\ty\n#c".encode()
    data = gzip.compress(text[:9]) + gzip.compress(text[9:]) if packed else text
    assert names(read(tmp_path, data)) == [
        (1, "", "a b"),
        (3, "", " ü "),
        (4, "b-1", "x\ty"),
        (5, "", "#c"),
    ]


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)]
)
@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
def test_empty_list_has_no_objects(tmp_path: Path, data: bytes, form: str) -> None:
    assert read(tmp_path, data, form) == []


def test_csv_keeps_quotes_commas_and_line_breaks_of_keys(tmp_path: Path) -> None:
    data = 'n,key\n1,"a,""b"""\n2,"c\nd"\n3,e\n'
    assert names(read(tmp_path, data, "csv")) == [(2, "", 'a,"b"'), (3, "", "c\nd"), (5, "", "e")]


def test_only_column_of_csv_is_the_key(tmp_path: Path) -> None:
    assert names(read(tmp_path, "path\nx\n", "csv")) == [(2, "", "x")]


def test_inventory_states_sizes_and_a_column_of_another_list_does_not(tmp_path: Path) -> None:
    header = "uri,key,size,etag,modified,version,storage_class"
    data = f"{header}\ns3://b-1/x,x,3,e,2026-01-01T00:00:00Z,v,GLACIER\n"
    [entry] = read(tmp_path, data, "csv")
    info = entry.info
    assert (info.size, info.etag, info.version, info.storage_class) == (3, "e", "v", "GLACIER")
    [entry] = read(tmp_path, data, "csv", "key")
    assert entry.info.size == UNKNOWN_SIZE


def test_manifest_leaves_out_failed_objects(tmp_path: Path) -> None:
    lines = [
        {"key": "a", "size": 1, "status": "done", "etag": "e", "path": "/x"},
        {"key": "b", "size": 1, "status": "failed"},
        {"key": "c", "size": "XL", "etag": "no"},
        {"key": "d", "size": True},
    ]
    data = "\n".join(map(json.dumps, lines))
    entries = read(tmp_path, data, "jsonl")
    assert [(each.info.key, each.info.size, each.info.etag) for each in entries] == [
        ("a", 1, "e"),
        ("c", UNKNOWN_SIZE, ""),
        ("d", UNKNOWN_SIZE, ""),
    ]


@pytest.mark.parametrize(
    ("form", "data", "line", "problem"),
    [
        ("text", "a\n" + "x" * 1025, 2, "has a key of 1,025 bytes"),
        ("text", "a\ns3://B!/x\n", 2, "'B!' is not a bucket name"),
        ("text", "a\ns3://bucket/\n", 2, "is the bucket 's3://bucket/'"),
        ("text", "a\nb\0c\n", 2, "contains a NUL"),
        ("csv", "n,key\n1,a\n2\n", 3, "has no value in the column 'key'"),
        ("csv", "n,key\n1,a\n2,\n", 3, "has no key, but nothing"),
        ("jsonl", '{"key": "a"}\n{"key": 3}\n', 2, "has no key"),
        ("jsonl", '{"key": "a"}\nnull\n', 2, "is not a JSON object"),
        ("jsonl", '{"key": "a"}\n{"ke', 2, "is not JSON"),
        ("jsonl", '{"key": "a"}\n' + "[" * 100_000, 2, "is not JSON"),
    ],
    ids=range(10),
)
def test_wrong_line_has_its_number(
    tmp_path: Path, form: str, data: str, line: int, problem: str
) -> None:
    [wrong] = [each for each in read(tmp_path, data, form) if isinstance(each, BadLine)]
    assert wrong.line == line
    assert problem in wrong.problem


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        ("text", b"a\n\xff\n", "list:2: is not UTF-8 text"),
        ("text", "a\n".encode("utf-16"), "list: is UTF-16 text"),
        ("text", b"a\n" + b"x" * (2 << 20), "list:2: is longer than 1,048,576 bytes"),
        ("text", gzip.compress(b"a\n" * 99, mtime=0)[:-9], "list: its gzip data is incomplete"),
        ("text", b"\x1f\x8b no gzip", "list: its gzip data is damaged"),
        ("csv", "a,b\n1,2\n", "list:1: has several columns; it has a, b"),
        ("csv", 'key\n"a\n', "list:2: is not CSV"),
        ("csv", f'key\n"{"x" * 200_000}"\n', "list:2: is not CSV"),
        ("s3_inventory", "{}", "is no manifest of S3 Inventory"),
        ("s3_inventory", '{"files": [], "fileFormat": "ORC"}', "has the format ORC"),
        ("s3_inventory", '{"files": [1], "fileFormat": "CSV", "fileSchema": "Key"}', "MD5checksum"),
    ],
    ids=range(11),
)
def test_wrong_file_is_an_error(tmp_path: Path, form: str, data: Any, message: str) -> None:
    with pytest.raises(StepError, match="list") as caught:
        read(tmp_path, data, form)
    assert message in str(caught.value)


def test_unknown_column_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="has no column 'k'; it has a, b"):
        read(tmp_path, "a,b\n", "csv", "k")
    [wrong] = read(tmp_path, '{"a": "x"}', "jsonl", "k")
    assert wrong.problem == "has no field 'k'"


def test_pipe_and_folder_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("pipe", "is a named pipe"), ("", "Is a directory")):
        with pytest.raises(StepError, match=message):
            list(FilePieces(None, Cancel()).read(str(tmp_path / name)))


def test_local_file_that_grows_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "_PIECE", 4)
    path = tmp_path / "list"
    path.write_text("a\nb\nc\n")
    read_pieces = FilePieces(None, Cancel()).read(str(path))
    next(read_pieces)
    with path.open("a") as file:
        file.write("d\n")
    with pytest.raises(StepError, match="the list changed while it was read"):
        list(read_pieces)


def write_inventory(
    folder: Path, rows: list[str], schema: str, *, md5: str = "", form: str = "CSV"
) -> str:
    data = gzip.compress("\n".join(rows).encode())
    for name in ("data", "2026-01-31"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "data/1.csv.gz").write_bytes(data)
    digest = md5 or hashlib.md5(data, usedforsecurity=False).hexdigest()
    file = {"key": "i/data/1.csv.gz", "size": len(data), "MD5checksum": digest}
    path = folder / "2026-01-31/manifest.json"
    path.write_text(json.dumps({"fileFormat": form, "fileSchema": schema, "files": [file]}))
    return str(path)


def read_inventory(folder: Path, place: str, *, versions: bool = False) -> list[Any]:
    pieces = FilePieces(None, Cancel())
    reader = ListReader(place, "s3_inventory", "", versions, pieces, folder / "work")
    return [entry for _, entry in reader.read()]


VERSIONS = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"
ROWS = [
    '"b-1","a%20b%2Bc","v2","true","false","5","2026-01-31T00:00:00.123Z","e2"',
    '"b-1","a%20b%2Bc","v1","false","false","3","2026-01-30T00:00:00.000Z","e1"',
    '"b-1","gone","v3","true","true","","2026-01-31T00:00:00.000Z",""',
]


def test_inventory_has_current_objects_or_all_versions(tmp_path: Path) -> None:
    place = write_inventory(tmp_path, ROWS, VERSIONS)
    [current] = read_inventory(tmp_path, place)
    info = current.info
    assert (info.key, info.version, info.size, info.etag) == ("a b+c", "", 5, "e2")
    assert info.modified == "2026-01-31T00:00:00Z"
    entries = read_inventory(tmp_path, place, versions=True)
    assert [(each.info.version, each.info.deleted) for each in entries] == [
        ("v2", False),
        ("v1", False),
        ("v3", True),
    ]
    assert os.listdir(tmp_path / "work") == []


def test_inventory_without_sizes_has_keys_alone(tmp_path: Path) -> None:
    place = write_inventory(tmp_path, ['"b-1","a"'], "Bucket, Key")
    [entry] = read_inventory(tmp_path, place)
    assert (entry.bucket, entry.info.key, entry.info.size) == ("b-1", "a", UNKNOWN_SIZE)
    [wrong] = read_inventory(tmp_path, place, versions=True)
    assert "has no version" in wrong.problem


def test_inventory_row_with_too_few_columns_has_its_number(tmp_path: Path) -> None:
    place = write_inventory(tmp_path, [ROWS[0], '"b-1"'], VERSIONS)
    assert read_inventory(tmp_path, place)[1] == BadLine(2, "has 1 of 8 columns")


def test_inventory_file_with_another_checksum_is_not_used(tmp_path: Path) -> None:
    place = write_inventory(tmp_path, ROWS, VERSIONS, md5="0" * 32)
    with pytest.raises(IntegrityFailed, match="the manifest has MD5 0000"):
        read_inventory(tmp_path, place)


def test_parquet_without_pyarrow_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StepError, match="needs pyarrow") as caught:
        read(tmp_path, b"PAR1", "parquet")
    assert caught.value.hint == "pip install pyarrow, or use CSV"


def test_parquet_lists_and_inventories(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"k": ["a", "b/ü"]}), path)
    assert names(read(tmp_path, path.read_bytes(), "parquet", "k")) == [
        (1, "", "a"),
        (2, "", "b/ü"),
    ]
    with pytest.raises(StepError, match="has no column 'key'; it has k"):
        read(tmp_path, path.read_bytes(), "parquet")
    with pytest.raises(StepError, match="cannot be read as Parquet"):
        read(tmp_path, b"PAR1", "parquet")
    place = write_inventory(tmp_path, ROWS, "", form="Parquet")
    moment = pyarrow.array([1_769_817_600_000, 0], pyarrow.timestamp("ms"))
    columns = {
        "bucket": ["b-1", "b-1"], "key": ["a+b%20", "old"], "size": [5, 3], "e_tag": ["e", "f"],
        "version_id": ["v2", "v1"], "is_latest": [True, False], "is_delete_marker": [False, False],
        "last_modified_date": moment,
    }  # fmt: skip
    parquet.write_table(pyarrow.table(columns), tmp_path / "data/1.csv.gz")
    data = (tmp_path / "data/1.csv.gz").read_bytes()
    text = (tmp_path / "2026-01-31/manifest.json").read_text()
    manifest = json.loads(text)
    manifest["files"][0]["MD5checksum"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    (tmp_path / "2026-01-31/manifest.json").write_text(json.dumps(manifest))
    [entry] = read_inventory(tmp_path, place)
    assert (entry.info.key, entry.info.modified) == ("a+b%20", "2026-01-31T00:00:00Z")
