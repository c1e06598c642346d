"""Writes the parts of the manual that the code knows: `make docs`.

A page names such a part in a pair of comments; what stands between them is replaced.
"""

from __future__ import annotations

import ast
import inspect
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import rolerunner
from rolerunner import errors
from rolerunner.actions import reference
from rolerunner.actions.functions import FunctionContext
from rolerunner.cli import COMMANDS
from rolerunner.cli import main as command_group
from rolerunner.spec.role_fields import RoleFields
from rolerunner.spec.schema import StateFields
from rolerunner.testing import SpecSandbox, create_context, start_spec_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCS = Path(__file__).parents[1] / "docs"
_PART = re.compile(
    r"(?<=<!-- from the code: )([\w-]+)( \(make docs\) -->\n).*?(?=<!-- end -->)", re.DOTALL
)
_FUNCTIONS = ("load", "plan", "run", "survey", "preview_objects")
_VALUES = (
    "RunResult",
    "StepResult",
    "ItemResult",
    "RoleUse",
    "Failure",
    "Job",
    "Step",
    "Role",
    "Plan",
    "PlannedStep",
    "Permission",
    "RunLocation",
    "Problem",
    "Mark",
)


class Member(NamedTuple):
    """A documented field, property or method of a class."""

    name: str
    type: str
    meaning: str


def render_page(text: str) -> str:
    """Returns a page with its parts as the code has them now."""
    return _PART.sub(lambda found: f"{found[1]}{found[2]}\n{PARTS[found[1]]()}\n\n", text)


def render_fields(fields: Any) -> str:
    """Returns a table of the fields of a pydantic model."""
    return "\n".join(reference.render_fields(fields))


def render_context() -> str:
    """Returns what the context of a function offers."""
    members = [*_iter_fields(FunctionContext), *_iter_properties(FunctionContext)]
    table = _format_members("context.", sorted(members))
    return "\n\n".join([table, *_list_methods("context", FunctionContext)])


def render_testing() -> str:
    """Returns the sandbox and the contexts of the plugin for pytest."""
    members = sorted([*_iter_fields(SpecSandbox), *_iter_properties(SpecSandbox)])
    functions = [
        _format_callable(f"rolerunner.testing.{each.__name__}", _parse(inspect.unwrap(each)))
        for each in (start_spec_sandbox, create_context)
    ]
    methods = _list_methods("sandbox", SpecSandbox)
    return "\n\n".join([_format_members("sandbox.", members), *methods, *functions])


def render_functions() -> str:
    """Returns the functions of the Python API."""
    nodes = [_parse(getattr(rolerunner, name)) for name in _FUNCTIONS]
    return "\n\n".join(_format_callable(f"rolerunner.{node.name}", node) for node in nodes)


def render_values() -> str:
    """Returns the values of the Python API, with their fields."""
    parts = []
    for name in _VALUES:
        value = getattr(rolerunner, name)
        table = _format_members("", _iter_fields(value))
        parts += [f"### {name}", _to_markdown(inspect.getdoc(value) or ""), table]
    return "\n\n".join(parts)


def render_errors() -> str:
    """Returns the tree of errors."""
    tree = (errors.__doc__ or "").split("::\n\n")[1].split("\n\n")[0]
    return f"```text\n{inspect.cleandoc(tree)}\n```"


def render_commands() -> str:
    """Returns the commands, with their options."""
    context = click.Context(command_group, info_name="rolerunner")
    commands = (command_group.get_command(context, name) for name in COMMANDS)
    return "\n\n".join(_format_command(command) for command in commands if command)


PARTS: dict[str, Callable[[], str]] = {
    "role-fields": partial(render_fields, RoleFields),
    "state-fields": partial(render_fields, StateFields),
    "function-context": render_context,
    "testing": render_testing,
    "api-functions": render_functions,
    "api-values": render_values,
    "api-errors": render_errors,
    "commands": render_commands,
}


def _parse(what: Any) -> Any:
    return ast.parse(inspect.getsource(what)).body[0]


def _class_nodes(what: type) -> list[ast.stmt]:
    return list(_parse(what).body)


def _iter_fields(what: type) -> Iterator[Member]:
    """Yields the public fields of a dataclass. Raises ValueError for one without a docstring."""
    nodes = _class_nodes(what)
    for node, following in zip(nodes, [*nodes[1:], None]):
        if not isinstance(node, ast.AnnAssign) or ast.unparse(node.target).startswith("_"):
            continue
        name = ast.unparse(node.target)
        meaning = _read_docstring(following)
        if not meaning:
            raise ValueError(f"{what.__name__}.{name} has no docstring")
        yield Member(name, ast.unparse(node.annotation), meaning)


def _list_methods(prefix: str, what: type) -> list[str]:
    """Returns the public methods of a class, without properties and class methods."""
    return [
        _format_callable(f"{prefix}.{node.name}", node)
        for node in _class_nodes(what)
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and all(ast.unparse(each) == "contextmanager" for each in node.decorator_list)
    ]


def _read_docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(str(node.value.value))
    return ""


def _iter_properties(what: type) -> Iterator[Member]:
    for name, value in vars(what).items():
        if isinstance(value, property):
            yield Member(name, "", inspect.getdoc(value) or "")


def _format_members(prefix: str, members: Any) -> str:
    rows = [
        f"| `{prefix}{name}` | {f'`{_escape(kind)}`' if kind else ''} | {_in_cell(meaning)} |"
        for name, kind, meaning in members
    ]
    return "\n".join(["| name | type | meaning |", "|---|---|---|", *rows])


def _format_callable(name: str, node: ast.FunctionDef) -> str:
    arguments = [each for each in _iter_arguments(node.args) if each != "self"]
    returns = ast.unparse(node.returns) if node.returns else "None"
    inside = ", ".join(arguments)
    lines = "".join(f"    {each},\n" for each in arguments)
    short = f"{name}({inside}) -> {returns}"
    signature = short if len(short) < 72 else f"{name}(\n{lines}) -> {returns}"  # noqa: PLR2004
    doc = _to_markdown(ast.get_docstring(node) or "")
    return f"### {name}\n\n```text\n{signature}\n```\n\n{doc}"


def _iter_arguments(arguments: ast.arguments) -> Iterator[str]:
    """Yields the arguments of a function as its signature has them."""
    first_default = len(arguments.args) - len(arguments.defaults)
    for number, each in enumerate(arguments.args):
        default = number - first_default
        yield ast.unparse(each) + (
            f" = {ast.unparse(arguments.defaults[default])}" if default >= 0 else ""
        )
    if arguments.kwonlyargs:
        yield "*"
    for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults):
        yield ast.unparse(each) + (f" = {ast.unparse(value)}" if value else "")
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


def _format_command(command: click.Command) -> str:
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option)]
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    example, _, rest = examples.partition("\n\n")
    usage = " ".join(
        ["rolerunner", command.name or "", *map(_format_argument, arguments), "[OPTIONS]"]
    )
    rows = [
        f"| {_format_names(each)} | {_in_cell(each.help or '')}{_format_default(each)} |"
        for each in options
    ]
    table = ["| option | meaning |", "|---|---|", *rows] if rows else []
    parts = [
        f"## rolerunner {command.name}",
        " ".join(text.split()),
        f"```sh\n{usage}\n```",
        f"For example:\n\n```sh\n{example}\n```" if example else "",
        rest.replace("\b\n", ""),
        "\n".join(table),
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _format_argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    name = name if argument.required or name.startswith("[") else f"[{name}]"
    return f"{name} ..." if argument.nargs == -1 and "..." not in name else name


def _format_names(option: click.Option) -> str:
    names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names}: {', '.join(f'`{each}`' for each in option.type.choices)}"
    return f"{names} `{_escape(option.metavar or option.type.name.upper())}`"


def _format_default(option: click.Option) -> str:
    return f" Default: `{option.default}`." if option.show_default else ""


def _in_cell(text: str) -> str:
    return _escape(_to_markdown(" ".join(text.split())))


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _to_markdown(text: str) -> str:
    return text.replace("``", "`")


def main() -> None:
    """Writes each page that has such a part."""
    for path in sorted(DOCS.glob("*.md")):
        old = path.read_text(encoding="utf-8")
        new = render_page(old)
        if new != old:
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
