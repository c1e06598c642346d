"""The pages of the actions are what the code says."""

from __future__ import annotations

import pytest

from rolerunner import api
from rolerunner.errors import UsageError
from tests.conftest import ROOT

PAGES = ROOT / "docs/actions"


@pytest.mark.parametrize("name", api.action_names())
def test_a_page_is_up_to_date(name: str) -> None:
    assert (PAGES / f"{name}.md").read_text() == api.reference(name), "run 'make docs'"


def test_the_index_is_up_to_date() -> None:
    assert (PAGES / "index.md").read_text() == api.reference(), "run 'make docs'"
    assert {path.stem for path in PAGES.glob("*.md")} == {"index", *api.action_names()}


def test_an_unknown_action_is_told() -> None:
    with pytest.raises(UsageError, match=r"did you mean 's3\.list'"):
        api.reference("s3.lst")
