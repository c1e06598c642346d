"""What a function of the user's takes, read from its source: a spec is checked without running anybody's code."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.spec.values import nearest, suggested

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Signature:
    """The arguments after the context: those that must be given, all that may, and whether any other may too."""

    required: tuple[str, ...]
    known: tuple[str, ...]
    takes_any: bool


def folders_of(project: Path) -> tuple[Path, ...]:
    """Where a spec's functions are looked for first: beside it, and in the two folders above."""
    return (project, *list(project.parents)[:2])


def mistakes(function: str, arguments: Mapping[str, Any], project: Path) -> Iterator[str]:
    """What is wrong with a call, as far as the source tells. A module that is not on this machine is taken on trust."""
    module, _, name = function.rpartition(":")
    path = source_of(module, project)
    if path is None:
        if is_path(module):
            yield f"'function': there is no file {module} beside the spec"
        return
    bound = _bound(str(path), path.stat().st_mtime_ns)
    if isinstance(bound, str):
        yield f"'function': {path}: {bound}"
    elif name not in bound and "*" not in bound:
        yield f"'function': {path} has no function '{name}'" + suggested(name, bound)
    else:
        signature = bound.get(name)
        if signature is not None:
            yield from _misfits(name, signature, arguments)


def is_path(module: str) -> bool:
    """Is it a file rather than a module's name?"""
    return module.endswith(".py")


def source_of(module: str, project: Path) -> Optional[Path]:
    """The module's source file, found without importing anything."""
    if is_path(module):
        path = project / module
        return path if path.is_file() else None
    relative = os.path.join(*module.split("."))  # noqa: PTH118 - the start of two paths
    for folder in (*folders_of(project), *map(Path, sys.path)):
        for tail in (f"{relative}.py", os.path.join(relative, "__init__.py")):  # noqa: PTH118
            if (folder / tail).is_file():
                return folder / tail
    return None


@lru_cache(maxsize=256)
def _bound(path: str, changed: int) -> Any:
    """Name -> Signature of a function, or None for what else is bound at the module's top; ``*`` where that is not known. Text: an error."""
    del changed  # it is part of the key: a file that was edited is read again
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (SyntaxError, ValueError) as error:
        return f"not Python: {error}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    found: dict[str, Optional[Signature]] = {}
    for node in _top(tree.body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found[node.name] = None if node.decorator_list else _signature(node.args)  # a decorator may change what it takes
        elif isinstance(node, ast.ClassDef):
            found[node.name] = None
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update({(alias.asname or alias.name).partition(".")[0]: None for alias in node.names})
        else:
            found.update({each.id: None for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)})
    return found


def _top(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements at the top, and those in its ifs and tries."""
    for node in body:
        yield node
        for name in ("body", "orelse", "finalbody"):
            if isinstance(node, (ast.If, ast.Try, ast.With)):
                yield from _top(getattr(node, name, ()))
        for handler in getattr(node, "handlers", ()):
            yield from _top(handler.body)


def _signature(arguments: ast.arguments) -> Optional[Signature]:
    positional = [*arguments.posonlyargs, *arguments.args]
    if not positional or len(arguments.posonlyargs) > 1:
        return None
    optional = len(arguments.defaults)
    required = [each.arg for each in positional[1 : len(positional) - optional]]
    required += [each.arg for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is None]
    known = [each.arg for each in (*positional[1:], *arguments.kwonlyargs)]
    return Signature(tuple(required), tuple(known), arguments.kwarg is not None)


def _misfits(name: str, signature: Signature, arguments: Mapping[str, Any]) -> Iterator[str]:
    for argument in arguments:
        if argument not in signature.known and not signature.takes_any:
            hint = nearest(argument, signature.known) or (f"it takes {', '.join(signature.known)}" if signature.known else "it takes none")
            yield f"'arguments': '{name}' takes no '{argument}' ({hint})"
    missing = [argument for argument in signature.required if argument not in arguments]
    if missing:
        yield f"'arguments': '{name}' needs {', '.join(repr(argument) for argument in missing)}"
