"""botocore's models of AWS's services, read once for the process, and no more than is asked for."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pydantic_core
from botocore.exceptions import DataNotFoundError
from botocore.loaders import JSONFileLoader, Loader

_GZIP = 16 + zlib.MAX_WBITS
"""What zlib calls gzip's form."""


@functools.lru_cache(maxsize=1)
def shared_loader() -> Loader:
    """What reads the models, one for the process: reading one takes 5 to 20 ms, and it is the same for every session."""
    return _Loader(file_loader=_Files())


def deduplicate_search_paths(shared: Loader) -> None:
    """Every boto3.Session adds its folder to the loader's search paths again: once is enough."""
    shared.search_paths[:] = list(dict.fromkeys(shared.search_paths))


class _Loader(Loader):  # type: ignore[misc]  # botocore has no annotations
    def list_available_services(self, type_name: str) -> Sequence[str]:
        """Every service that there is a file of a type for."""
        return _Services(
            self, type_name, lambda: super(_Loader, self).list_available_services(type_name)
        )


class _Services(Sequence[str]):
    """Services that there is a file of a type for. botocore asks for one before it reads its model: the folders of that one tell.

    To look through the folders of all four hundred takes 5 ms, for each type of file.
    """

    def __init__(self, models: Loader, type_name: str, every: Callable[[], list[str]]) -> None:
        self._models = models
        self._type_name = type_name
        self._every = every

    def __contains__(self, service: object) -> bool:
        try:
            return bool(self._models.list_api_versions(service, self._type_name))
        except DataNotFoundError:
            return False

    def __getitem__(self, index: Any) -> Any:
        return self._every()[index]

    def __len__(self) -> int:
        return len(self._every())


class _Files(JSONFileLoader):  # type: ignore[misc]  # botocore has no annotations
    """Reads models by pydantic's parser, as plain dicts: a third of the time that botocore's OrderedDicts take."""

    def load_file(self, file_path: str) -> Any:
        """The file's content; None where there is none. ``file_path`` has no suffix."""
        for suffix, unpacked in ((".json", bytes), (".json.gz", _unzipped)):
            path = Path(file_path + suffix)
            if path.is_file():
                return pydantic_core.from_json(unpacked(path.read_bytes()))
        return None


def _unzipped(data: bytes) -> bytes:
    return zlib.decompress(data, _GZIP)
