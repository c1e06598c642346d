"""Reads the signatures of user functions from their source, without importing it."""

from __future__ import annotations

import ast
import os
import sys
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.values import format_suggestion, suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Signature:
    """The arguments after the context: required and known ones, and whether others may be given."""

    required: tuple[str, ...]
    known: tuple[str, ...]
    takes_any: bool


def import_folders(project: Path) -> tuple[Path, ...]:
    """Returns the folders to search first: that of the spec, and the two above it."""
    return (project, *list(project.parents)[:2])


def find_call_errors(
    function: str,
    arguments: Mapping[str, Any],
    project: Path,
    packages: Sequence[str] = (),
    *,
    complete: bool = True,
) -> Iterator[str]:
    """Finds mistakes in a call from the source alone; nothing is imported.

    ``packages`` are folders of packages that the job takes along, relative to the project. With
    ``complete=False`` the job also takes along what is not on this machine, so a module that is
    not found here is taken on trust.
    """
    module, _, name = function.rpartition(":")
    try:
        source = (
            _find_file(module, project)
            if is_path(module)
            else _find_module(module, project, packages)
        )
    except ModuleNotFoundError as error:
        if complete or is_path(module):
            yield f"'function': {error}"
        return
    if source is None:
        return
    bound = source.bound()
    if isinstance(bound, str):
        yield f"'function': {source.origin}: {bound}"
    elif name not in bound and not bound.keys() & {"*", "__getattr__"}:
        yield f"'function': {source.origin} has no function '{name}'" + format_suggestion(
            name, bound
        )
    else:
        signature = bound.get(name)
        if signature is not None:
            yield from _find_argument_errors(name, signature, arguments)


def is_path(module: str) -> bool:
    """Returns True for a file, False for the name of a module."""
    return module.endswith(".py")


@dataclass(frozen=True)
class _Source:
    """The source of a module; ``text`` if it has no file of its own, as in a zip."""

    origin: str
    text: Optional[str] = None

    def bound(self) -> Any:
        """The names at the module's top, as ``_collect_names`` has them."""
        return (
            _collect_names(self.text.encode())
            if self.text is not None
            else _read_bound_names(self.origin, os.stat(self.origin).st_mtime_ns)  # noqa: PTH116
        )


def _find_file(name: str, project: Path) -> _Source:
    path = project / name
    if not path.is_file():
        raise ModuleNotFoundError(f"there is no file {name} beside the spec")
    return _Source(str(path))


def _find_module(module: str, project: Path, packages: Sequence[str]) -> Optional[_Source]:
    """Returns the source that an import would find; None for a module without any.

    Raises ModuleNotFoundError.
    """
    added = (*import_folders(project), *((project / package).parent for package in packages))
    places: Sequence[str] = list(dict.fromkeys([*sys.path, *map(str, added)]))
    spec: Optional[ModuleSpec] = None
    parts = module.split(".")
    for depth, part in enumerate(parts):
        spec = PathFinder.find_spec(part, places) or (None if depth else _find_installed(part))
        if spec is None and module in sys.modules:  # its package made it
            return None
        if spec is None:
            raise ModuleNotFoundError(_explain_absence(parts, depth, places, project))
        places = list(spec.submodule_search_locations or ())
    return _source_of(parts[-1], spec)


def _find_installed(name: str) -> Optional[ModuleSpec]:
    """Finds a built-in module, or one installed for editing. No code of a top module runs."""
    try:
        return find_spec(name)
    except (ImportError, ValueError):
        return None


def _source_of(name: str, spec: Optional[ModuleSpec]) -> Optional[_Source]:
    if spec is None or spec.origin is None:
        return _Source(name, "")  # a folder without code
    if spec.origin.endswith(".py") and Path(spec.origin).is_file():
        return _Source(spec.origin)
    read = getattr(spec.loader, "get_source", None)
    text = read(name) if read is not None else None
    return None if text is None else _Source(spec.origin, text)


def _names_in(places: Sequence[str]) -> Iterator[str]:
    """Names of the modules and of the folders in some places."""
    yield from (found.name for found in iter_modules(places))
    yield from (
        child.name
        for place in places
        if Path(place).is_dir()
        for child in Path(place).iterdir()
        if child.name.isidentifier()
    )


def _explain_absence(parts: Sequence[str], depth: int, places: Sequence[str], project: Path) -> str:
    """The message for a module that is not there, with the nearest one that is."""
    package, name = ".".join(parts[:depth]), ".".join(parts[: depth + 1])
    if depth and not places:
        return f"there is no module '{name}': '{package}' is not a package"
    nearby = places if depth else [str(folder) for folder in import_folders(project)]
    names = [f"{package}.{found}" if depth else found for found in _names_in(nearby)]
    where = "it is searched beside the spec, in the two folders above it and in installed packages"
    return f"there is no module '{name}' ({suggest_name(name, names) or where})"


@lru_cache(maxsize=256)
def _read_bound_names(path: str, changed: int) -> Any:
    """Returns the names bound at a module's top, or text for an error.

    A function has its Signature, anything else None; ``*`` stands for names that are not known.
    """
    del changed  # it is part of the key: a file that was edited is read again
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return _collect_names(source)


def _collect_names(source: bytes) -> Any:
    """Name -> Signature, as ``_read_bound_names`` has it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return f"not Python: {error}"
    found: dict[str, Optional[Signature]] = {}
    for node in _top_statements(tree.body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found[node.name] = (
                None if node.decorator_list else _read_signature(node.args)
            )  # a decorator may change what it takes
        elif isinstance(node, ast.ClassDef):
            found[node.name] = None
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(
                {(alias.asname or alias.name).partition(".")[0]: None for alias in node.names}
            )
        else:
            found.update(
                {
                    each.id: None
                    for each in ast.walk(node)
                    if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                }
            )
    return found


def _top_statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements at the top, and those in its ifs and tries."""
    for node in body:
        yield node
        for name in ("body", "orelse", "finalbody"):
            if isinstance(node, (ast.If, ast.Try, ast.With)):
                yield from _top_statements(getattr(node, name, ()))
        for handler in getattr(node, "handlers", ()):
            yield from _top_statements(handler.body)


def _read_signature(arguments: ast.arguments) -> Optional[Signature]:
    positional = [*arguments.posonlyargs, *arguments.args]
    if not positional or len(arguments.posonlyargs) > 1:
        return None
    optional = len(arguments.defaults)
    required = [each.arg for each in positional[1 : len(positional) - optional]]
    required += [
        each.arg
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults)
        if default is None
    ]
    known = [each.arg for each in (*positional[1:], *arguments.kwonlyargs)]
    return Signature(tuple(required), tuple(known), arguments.kwarg is not None)


def _find_argument_errors(
    name: str, signature: Signature, arguments: Mapping[str, Any]
) -> Iterator[str]:
    for argument in arguments:
        if argument not in signature.known and not signature.takes_any:
            hint = suggest_name(argument, signature.known) or (
                f"it takes {', '.join(signature.known)}" if signature.known else "it takes none"
            )
            yield f"'arguments': '{name}' takes no '{argument}' ({hint})"
    missing = [argument for argument in signature.required if argument not in arguments]
    if missing:
        yield f"'arguments': '{name}' needs {', '.join(repr(argument) for argument in missing)}"
