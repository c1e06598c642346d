"""Reads the entries of a list in any of the formats."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.errors import IntegrityFailed
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.selection.list_files.entries import Entry, read_csv, read_json_lines, read_text
from rolerunner.selection.list_files.inventory_places import find_data_prefix
from rolerunner.selection.list_files.lines import decompress, iter_lines, list_error
from rolerunner.selection.list_files.parquet import iter_rows, read_parquet
from rolerunner.selection.list_files.s3_inventory import (
    MAX_MANIFEST,
    InventoryFile,
    InventoryManifest,
    parse_manifest,
    read_csv_file,
    read_parquet_rows,
)

if TYPE_CHECKING:
    from rolerunner.selection.list_files.pieces import FilePieces, Place


@dataclass(frozen=True)
class ListReader:
    """Reads a list of objects: its place, its format, and what the spec says of its content."""

    place: Place
    format: str
    column: str
    versions: bool
    pieces: FilePieces
    workdir: Path
    """Holds a Parquet file while it is read."""

    def read(self) -> Iterator[tuple[str, Entry]]:
        """Yields the name of the file and the entry, of each entry. Raises StepError."""
        name = str(self.place)
        if self.format == "s3_inventory":
            yield from self._read_inventory(name)
            return
        for entry in self._read_file(name):
            yield name, entry

    def _read_file(self, name: str) -> Iterator[Entry]:
        raw = self.pieces.read(self.place)
        if self.format == "parquet":
            with self._spool(raw) as path:
                yield from read_parquet(path, self.column, name)
            return
        lines = iter_lines(decompress(raw, name), name)
        if self.format == "csv":
            yield from read_csv(lines, self.column, name)
        elif self.format == "jsonl":
            yield from read_json_lines(lines, self.column)
        else:
            yield from read_text(lines)

    def _read_inventory(self, name: str) -> Iterator[tuple[str, Entry]]:
        manifest = parse_manifest(self._read_manifest(name), name)
        for file in manifest.files:
            place = self._locate(file, name)
            for entry in self._read_inventory_file(place, file, manifest):
                yield str(place), entry

    def _read_manifest(self, name: str) -> bytes:
        data = bytearray()
        for piece in decompress(self.pieces.read(self.place), name):
            data += piece
            if len(data) > MAX_MANIFEST:
                raise list_error(name, f"is larger than {MAX_MANIFEST:,} bytes")
        return bytes(data)

    def _locate(self, file: InventoryFile, name: str) -> Place:
        """Returns the place of a file of the inventory, in ``data/`` beside the manifests.

        A local copy of an inventory has the same folders.
        """
        if isinstance(self.place, S3Uri):
            place = S3Uri(self.place.bucket, file.key)
            if not file.key.startswith(find_data_prefix(self.place).key):
                raise list_error(name, f"names {place}, which is not in its folder 'data'")
            return place
        data = Path(self.place).expanduser().absolute().parent.parent / "data"
        return str(data / file.key.rsplit("/", 1)[-1])

    def _read_inventory_file(
        self, place: Place, file: InventoryFile, manifest: InventoryManifest
    ) -> Iterator[Entry]:
        with self._spool(_verify(self.pieces.read(place), file, str(place))) as path:
            if manifest.format == "Parquet":
                rows = iter_rows(path, str(place))
                yield from read_parquet_rows(rows, versions=self.versions)
                return
            with translate_os_errors(path), path.open("rb") as stored:
                lines = iter_lines(
                    decompress(iter(lambda: stored.read(1 << 20), b""), str(place)), str(place)
                )
                yield from read_csv_file(
                    lines, manifest.columns, str(place), versions=self.versions
                )

    @contextmanager
    def _spool(self, pieces: Iterable[bytes]) -> Iterator[Path]:
        """Keeps a file on disk while it is read: it is used only when it is complete and right."""
        with translate_os_errors(self.workdir):
            self.workdir.mkdir(parents=True, exist_ok=True)
            file = tempfile.NamedTemporaryFile(dir=self.workdir, prefix="list-")  # noqa: SIM115 - below
        with file:
            for piece in pieces:
                with translate_os_errors(file.name):
                    file.write(piece)
            with translate_os_errors(file.name):
                file.flush()
            yield Path(file.name)


def _verify(pieces: Iterable[bytes], file: InventoryFile, name: str) -> Iterator[bytes]:
    """Yields the pieces. Raises IntegrityFailed if they are not those that the manifest names."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
        yield piece
    if digest.hexdigest() != file.md5:
        raise IntegrityFailed(
            f"{name}: checksum mismatch: the manifest has MD5 {file.md5}, got {digest.hexdigest()}"
        )
