"""Hooks of MkDocs: links to other files of the repository, and a check of what pages load."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_LINK = re.compile(r"(?<=\]\()(\.\./[^)#]+)")
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload))[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|@import\s+["']?(?:url\()?["']?(?:https?:)?//[^"')\s]+|url\(["']?(?:https?:)?//[^"')]+"""
)
"""What a browser loads from another server while it shows a page."""


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Replaces the links of a page that leave docs/ by links to the repository."""
    del files
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def replace(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[1]))
        return found[1] if path.startswith("docs/") else f"{config.repo_url}/blob/main/{path}"

    return _LINK.sub(replace, markdown)


def on_post_build(*, config: Any) -> None:
    """Raises PluginError if a page loads anything from another server."""
    files = (path for path in Path(config.site_dir).rglob("*") if path.suffix in (".html", ".css"))
    loaded = {
        f"{path.name}: {found[0]}"
        for path in sorted(files)
        for found in _LOADED.finditer(path.read_text(encoding="utf-8"))
    }
    if loaded:
        raise PluginError("loads from other servers: " + "\n".join(sorted(loaded)))
