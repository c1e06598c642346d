"""botocore's models of AWS services, loaded once per process and only as far as they are used."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pydantic_core
from botocore.exceptions import DataNotFoundError
from botocore.loaders import JSONFileLoader, Loader

_GZIP_WBITS = 16 + zlib.MAX_WBITS
"""zlib's code for the gzip format."""


@functools.lru_cache(maxsize=1)
def shared_loader() -> Loader:
    """Returns the process's loader: a model takes 5 to 20 ms and is alike in every session."""
    return _LazyLoader(file_loader=_FastFileLoader())


def deduplicate_search_paths(loader: Loader) -> None:
    """Removes repeated search paths: every boto3.Session appends its own folder again."""
    loader.search_paths[:] = list(dict.fromkeys(loader.search_paths))


class _LazyLoader(Loader):  # type: ignore[misc]  # botocore has no annotations
    def list_available_services(self, type_name: str) -> Sequence[str]:
        """Returns the services that have a file of this type."""
        list_all = super().list_available_services
        return _ServiceList(self, type_name, lambda: list_all(type_name))


class _ServiceList(Sequence[str]):
    """The services that have a file of one type, looked up one by one.

    botocore tests for one service before it loads that model; a scan of all four hundred folders
    takes 5 ms for each type.
    """

    def __init__(self, loader: Loader, type_name: str, list_all: Callable[[], list[str]]) -> None:
        self._loader = loader
        self._type_name = type_name
        self._list_all = list_all

    def __contains__(self, service: object) -> bool:
        try:
            return bool(self._loader.list_api_versions(service, self._type_name))
        except DataNotFoundError:
            return False

    def __getitem__(self, index: Any) -> Any:
        return self._list_all()[index]

    def __len__(self) -> int:
        return len(self._list_all())


class _FastFileLoader(JSONFileLoader):  # type: ignore[misc]  # botocore has no annotations
    """Parses models with pydantic into plain dicts, three times as fast as botocore's loader."""

    def load_file(self, file_path: str) -> Any:
        """Returns the content of a file, named without its suffix; None where there is none."""
        for suffix, unpack in ((".json", bytes), (".json.gz", _decompress_model)):
            path = Path(file_path + suffix)
            if path.is_file():
                return pydantic_core.from_json(unpack(path.read_bytes()))
        return None


def _decompress_model(data: bytes) -> bytes:
    return zlib.decompress(data, _GZIP_WBITS)
