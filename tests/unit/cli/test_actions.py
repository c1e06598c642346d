"""``rolerunner actions``: a page, the index, and all pages as files."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from rolerunner.actions import reference, registry
from rolerunner.cli.actions import actions


def call(*arguments: str) -> Result:
    return CliRunner().invoke(actions, arguments, catch_exceptions=False)


def test_the_index_or_one_page_is_printed() -> None:
    assert call().output == reference.index(registry())
    assert call("s3.copy").output == reference.page("s3.copy", registry())


def test_all_pages_or_one_are_written_with_the_index(tmp_path: Path) -> None:
    assert call("-o", str(tmp_path / "all")).output == ""
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert names == {"index.md", *(f"{name}.md" for name in registry())}
    call("s3.copy", "-o", str(tmp_path / "one"))
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"index.md", "s3.copy.md"}
    text = (tmp_path / "one" / "s3.copy.md").read_text()
    assert text == reference.page("s3.copy", registry())
