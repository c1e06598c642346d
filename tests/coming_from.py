"""Reads the tables of the manual's page for users of aws-cli, s5cmd and rclone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

import yaml

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "coming-from.md"
TOOLS = ("aws-cli", "s5cmd", "rclone")
_PROGRAMS = ("aws ", "s5cmd ", "rclone ")
_CODE = re.compile(r"`([^`]+)`")
_FLAG = re.compile(r"(?<![\w-])--[a-z0-9][a-z0-9-]*\*?")


@dataclass(frozen=True)
class Row:
    """A row of a table: what a tool has, and what rolerunner has for it."""

    tool: str
    left: str
    right: str

    @property
    def codes(self) -> list[str]:
        """Commands and flags of the tool."""
        return _CODE.findall(self.left)

    @property
    def flags(self) -> set[str]:
        """Long flags of the tool; one may end with ``*``."""
        if " of aws-cli 2" in self.left:  # the first is installed
            return set()
        codes = [code for code in self.codes if not code.startswith("aws s3api")]
        return {flag for code in codes for flag in _FLAG.findall(code)}

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps on the right; none if there is a reason or a link instead."""
        for code in _CODE.findall(self.right):
            if code.startswith(("{action", "[{action")):
                parsed = yaml.safe_load(code)
                return parsed if isinstance(parsed, list) else [parsed]
        return []

    @property
    def command(self) -> Optional[str]:
        """The command on the left, if it has a target and can be run."""
        for code in self.codes:
            has_target = re.search(r"s3://|[ \"]s:|--bucket ", code)
            if code.startswith(_PROGRAMS) and has_target and self.steps:
                return code
        return None


def read_rows() -> list[Row]:
    """Returns the rows of all tables whose heading names one tool."""
    rows: list[Row] = []
    tool = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            tool = next((each for each in TOOLS if line.startswith(f"## {each}")), "")
        elif tool and line.startswith("| "):
            left, right = line[2:-2].split(" | ")
            rows.append(Row(tool, left, right))
    return rows


def read_pattern_steps() -> list[dict[str, Any]]:
    """Returns the steps of the tables about patterns."""
    text = PAGE.read_text().partition("## aws-cli: commands")[0]
    return [yaml.safe_load(code) for code in _CODE.findall(text) if code.startswith("{action")]
