"""Models of services are loaded once, and only as far as they are used."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from botocore.loaders import Loader

from rolerunner.sessions.service_models import (
    _FastFileLoader,
    deduplicate_search_paths,
    shared_loader,
)


def test_all_sessions_share_one_loader() -> None:
    assert shared_loader() is shared_loader()


def test_the_services_are_those_that_botocore_lists() -> None:
    services = shared_loader().list_available_services("service-2")
    known = Loader().list_available_services("service-2")
    assert "s3" in services
    assert "s4" not in services
    assert (len(services), services[0], list(services)) == (len(known), known[0], known)


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_model_may_be_compressed(suffix: str, tmp_path: Path) -> None:
    text = b'{"a": [1]}'
    content = gzip.compress(text) if suffix.endswith("gz") else text
    (tmp_path / f"model{suffix}").write_bytes(content)
    assert _FastFileLoader().load_file(str(tmp_path / "model")) == {"a": [1]}
    assert _FastFileLoader().load_file(str(tmp_path / "none")) is None


def test_repeated_search_paths_are_removed() -> None:
    loader = Loader(extra_search_paths=["/b", "/a", "/b"])
    deduplicate_search_paths(loader)
    assert loader.search_paths[:2] == ["/b", "/a"]
    assert loader.search_paths.count("/b") == 1
