"""docs/architecture.md draws the house as it is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "framework" / "rolerunner"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
TREE = PAGE[PAGE.index("```") : PAGE.rindex("```")]


def test_every_room_is_drawn() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py") if "template" not in path.parts}
    rooms = {
        str(path.relative_to(PACKAGE).name)
        for path in folders - {PACKAGE, PACKAGE / "actions" / "builtin"}
    }
    top = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "_version.py"}
    drawn = set(re.findall(r"^ {2,4}([\w.]+)/? ", TREE, re.MULTILINE))
    assert rooms | top <= drawn, f"not drawn: {sorted((rooms | top) - drawn)}"


def test_everything_drawn_exists() -> None:
    names = {path.name for path in PACKAGE.rglob("*")}
    drawn = set(re.findall(r"^ {2,4}([\w.]+?)/? ", TREE, re.MULTILINE))
    mentioned = set(re.findall(r"\b([\w]+\.py)\b", TREE))
    assert drawn | mentioned <= names, f"not there: {sorted((drawn | mentioned) - names)}"


def test_every_module_of_the_walks_exists() -> None:
    walks = PAGE[PAGE.index("## Three walks") : PAGE.index("## Dependencies")]
    modules = set(re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)+\.py)`", walks))
    missing = sorted(name for name in modules if not (PACKAGE / name).is_file())
    assert len(modules) >= 20
    assert missing == []
