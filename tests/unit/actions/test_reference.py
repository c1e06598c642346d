"""The pages of the actions are what the code says."""

from __future__ import annotations

import pytest

from rolerunner.actions import reference, registry
from rolerunner.errors import UsageError
from tests.conftest import ROOT

PAGES = ROOT / "docs/actions"


@pytest.mark.parametrize("name", registry())
def test_a_page_is_up_to_date(name: str) -> None:
    assert (PAGES / f"{name}.md").read_text() == reference.page(name, registry()), "run 'make docs'"


def test_the_index_is_up_to_date() -> None:
    assert (PAGES / "index.md").read_text() == reference.index(registry()), "run 'make docs'"
    assert {path.stem for path in PAGES.glob("*.md")} == {"index", *registry()}


def test_an_unknown_action_is_told() -> None:
    with pytest.raises(UsageError, match=r"did you mean 's3\.list'"):
        reference.page("s3.lst", registry())
