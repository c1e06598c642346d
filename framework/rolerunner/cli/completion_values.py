"""Completes the values of arguments and options. Imported only when a shell asks."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_KINDS = {
    "SPEC": "spec",
    "SPEC...": "spec",
    "FILE": "file",
    "[FILE]": "file",
    "[FILE|DIR]...": "file",
    "RESULT.json": "file",
    "DIR": "dir",
    "ALIAS": "alias",
    "ID": "step",
}
"""Metavar of a parameter -> what its values are."""
_MOST_ENTRIES = 2_000
"""Entries of a folder that are read: a shell waits for the answer."""
_LARGEST = 1 << 20
"""Bytes of a spec whose names are completed."""


class _Completed(click.types.StringParamType):
    """A text whose values are completed by a function."""

    def __init__(self, complete: Callable[[click.Context, str], list[CompletionItem]]) -> None:
        self._complete = complete

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del param
        return self._complete(ctx, incomplete)


def add_value_completions(command: click.Command) -> None:
    """Lets a shell complete the values of a command's parameters that are plain texts."""
    for parameter in command.params:
        kind = _find_kind(command, parameter)
        if kind in _COMPLETIONS and isinstance(parameter.type, click.types.StringParamType):
            parameter.type = _Completed(_COMPLETIONS[kind])


def _find_kind(command: click.Command, parameter: click.Parameter) -> str:
    if parameter.name == "env":
        return "env"
    if (command.name, parameter.name) == ("actions", "name"):
        return "action"
    kind = _KINDS.get(str(parameter.metavar), "")
    return kind if kind != "step" or parameter.name == "only" else ""


def _complete_specs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Returns the specs whose paths begin with a text, also those one folder below.

    A path that the shell must quote is left to the shell.
    """
    del ctx
    found = sorted(_find_specs(incomplete))
    if not found or any(not _is_plain(path) for path in found):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(path) for path in found]


def _find_specs(incomplete: str) -> Iterator[str]:
    folder, prefix = os.path.split(incomplete)
    for entry in _list_folder(folder):
        if entry.name.startswith(prefix):
            path = os.path.join(folder, entry.name)  # noqa: PTH118 - the text as the user wrote it
            if _is_folder(entry):
                below = (each for each in _list_folder(path) if _is_spec(each))
                yield from (f"{path}/{each.name}" for each in below)
            elif _is_spec(entry):
                yield path


def _list_folder(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(Path(folder).expanduser() if folder else ".") as entries:
            few = islice(entries, _MOST_ENTRIES)
            return [each for each in few if not each.name.startswith(".")]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _is_spec(entry: os.DirEntry[str]) -> bool:
    is_yaml = entry.name.endswith((".yaml", ".yml"))
    return is_yaml and not entry.name.endswith((".sandbox.yaml", ".test.yaml"))


def _is_plain(text: str) -> bool:
    """Returns True if no shell gives a character of the text a meaning."""
    return all(each.isalnum() or each in "._-/~+=@%:," for each in text)


def _complete_files(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    del ctx
    return [CompletionItem(incomplete, type="file")]


def _complete_folders(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    del ctx
    return [CompletionItem(incomplete, type="dir")]


def _complete_environments(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _match_names(_list_keys(_read_spec(ctx).get("environments")), incomplete)


def _complete_roles(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _match_names(_list_keys(_read_spec(ctx).get("roles")), incomplete)


def _complete_steps(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _match_names(_list_steps(_read_spec(ctx).get("steps")), incomplete)


def _complete_actions(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    del ctx
    from rolerunner.actions import registry  # noqa: PLC0415 - no other completion needs it

    return _match_names(registry(), incomplete)


def _match_names(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    matching = (each for each in names if each.startswith(incomplete) and _is_plain(each))
    return [CompletionItem(each) for each in matching]


def _list_keys(section: Any) -> list[str]:
    return [str(each) for each in section] if isinstance(section, dict) else []


def _list_steps(section: Any, group: str = "") -> Iterator[str]:
    """Yields the ids of steps, and those inside groups as GROUP.STEP."""
    for step in section if isinstance(section, list) else ():
        if isinstance(step, dict) and "id" in step:
            yield f"{group}{step['id']}"
            yield from _list_steps(step.get("steps"), f"{group}{step['id']}.")


def _read_spec(ctx: click.Context) -> dict[str, Any]:
    """Returns the spec on the command line; empty if it cannot be read, or is not on this disk."""
    from rolerunner.errors import RolerunnerError  # noqa: PLC0415 - parsing is needed for names alone
    from rolerunner.spec.yaml_parser import parse_document  # noqa: PLC0415

    # click stops parsing at an option without its value, and leaves what it has read in args
    listed = (ctx.params.get("spec"), *(ctx.params.get("specs") or ()), *ctx.args)
    path = Path(next(filter(None, listed), "")).expanduser()
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return {}
        data = parse_document(path.read_text(encoding="utf-8-sig"), str(path)).data
    except (OSError, ValueError, RolerunnerError):
        return {}
    return data if isinstance(data, dict) else {}


_COMPLETIONS: dict[str, Callable[[click.Context, str], list[CompletionItem]]] = {
    "spec": _complete_specs,
    "file": _complete_files,
    "dir": _complete_folders,
    "env": _complete_environments,
    "alias": _complete_roles,
    "step": _complete_steps,
    "action": _complete_actions,
}
