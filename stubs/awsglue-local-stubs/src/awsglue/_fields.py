"""Paths of fields, such as ``address.city``, as Spark columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Union

from awsglue.local import LocalGlueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType, StructType

Path = tuple[str, ...]
Tree = dict[str, Union["Column", "Tree"]]
"""Columns by their names; a dictionary becomes a struct."""

_PART = re.compile(r"(?:`([^`]+)`|([^.`\[\]]+))(?:\.(?!\Z)|\Z)")


def parse_path(text: str) -> Path:
    """Splits a path at its dots; a name in backticks keeps its own. Raises LocalGlueError."""
    names: list[str] = []
    position = 0
    while position < len(text):
        found = _PART.match(text, position)
        if found is None:
            hint = "paths into arrays work in Glue alone" if "[" in text else "use name.name"
            raise LocalGlueError(f"'{text}' is not a path of a field: {hint}")
        names.append(found.group(1) or found.group(2))
        position = found.end()
    if not names:
        raise LocalGlueError("the path of a field is empty")
    return tuple(names)


def parse_paths(texts: str | Iterable[str]) -> list[Path]:
    """Parses a list of paths, or a single one."""
    return [parse_path(text) for text in ([texts] if isinstance(texts, str) else texts)]


def quote(path: Sequence[str]) -> str:
    """Returns a path as Spark writes it, each name in backticks."""
    return ".".join(f"`{name}`" for name in path)


def column_of(frame: DataFrame, path: Path) -> Column:
    """Returns the column of a field. Raises LocalGlueError if there is none."""
    from pyspark.sql import functions  # noqa: PLC0415 - pyspark may be missing until here

    if find_type(frame.schema, path) is None:
        raise LocalGlueError(
            f"the frame has no field '{'.'.join(path)}'; its fields are {', '.join(frame.columns)}"
        )
    return functions.col(quote(path))


def find_type(schema: StructType, path: Path) -> DataType | None:
    """Returns the type of a field, or None; names match whatever their case, as in Spark."""
    found: DataType | None = schema
    for name in path:
        fields = getattr(found, "fields", ())
        found = next((each.dataType for each in fields if each.name.lower() == name.lower()), None)
    return found


def insert(tree: Tree, path: Path, column: Column) -> None:
    """Adds a column at a path. Raises LocalGlueError if the path is taken."""
    node = tree
    for name in path[:-1]:
        below = node.setdefault(name, {})
        if not isinstance(below, dict):
            raise LocalGlueError(f"'{'.'.join(path)}' is inside a field that is selected whole")
        node = below
    if path[-1] in node:
        raise LocalGlueError(f"'{'.'.join(path)}' is given twice")
    node[path[-1]] = column


def build_columns(tree: Tree) -> list[Column]:
    """Returns the columns of a tree, its inner dictionaries as structs."""
    from pyspark.sql import functions  # noqa: PLC0415

    return [
        (functions.struct(*build_columns(node)) if isinstance(node, dict) else node).alias(name)
        for name, node in tree.items()
    ]


def replace_field(frame: DataFrame, path: Path, column: Column) -> DataFrame:
    """Returns the frame with a field set to a column; a missing outermost struct is created."""
    from pyspark.sql import functions  # noqa: PLC0415

    top, inner = path[0], path[1:]
    if not inner:
        return frame.withColumn(top, column)
    if find_type(frame.schema, (top,)) is None:
        tree: Tree = {}
        insert(tree, path, column)
        return frame.select("*", *build_columns(tree))
    return frame.withColumn(top, functions.col(quote((top,))).withField(quote(inner), column))


def remove_fields(frame: DataFrame, paths: Iterable[Path]) -> DataFrame:
    """Returns the frame without some fields; those that it does not have are ignored."""
    from pyspark.sql import functions  # noqa: PLC0415

    present = [path for path in paths if find_type(frame.schema, path) is not None]
    for path in (each for each in present if len(each) > 1):
        top = functions.col(quote(path[:1])).dropFields(quote(path[1:]))
        frame = frame.withColumn(path[0], top)
    dropped = {path[0].lower() for path in present if len(path) == 1}
    return frame.select(
        *(functions.col(quote((name,))) for name in frame.columns if name.lower() not in dropped)
    )


def spark_type(name: str) -> str | None:
    """Returns Spark's name of a Glue type; None for types that Glue names without their parts."""
    known = name.strip().lower()
    if known in {"struct", "array", "map"}:
        return None
    if known in {"choice", "null", "unknown", "set", ""}:
        raise LocalGlueError(f"the type '{name}' exists in Glue alone")
    return known
