"""Converts rows to records and back, and infers the schema of records."""

from __future__ import annotations

import sys
from functools import partial, reduce
from inspect import isfunction
from typing import TYPE_CHECKING, Any, Callable

from awsglue.gluetypes import DynamicRecord
from awsglue.local import LocalGlueError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row
    from pyspark.sql.types import DataType, StructType


def filter_rows(frame: DataFrame, predicate: Callable[[DynamicRecord], Any]) -> DataFrame:
    """Returns the rows whose records satisfy the predicate."""
    _pickle_by_value(predicate)
    rows = frame.rdd.filter(lambda row: bool(predicate(as_record(row))))
    return frame.sparkSession.createDataFrame(rows, frame.schema, verifySchema=False)


def map_rows(frame: DataFrame, function: Callable[[DynamicRecord], Any]) -> DataFrame:
    """Returns the records that the function makes of each record.

    The function is called twice for each record, the first time to infer the schema.
    """
    _pickle_by_value(function)
    before = frame.schema
    records = frame.rdd.map(lambda row: function(as_record(row)))
    inferred = records.aggregate(
        None,
        lambda schema, record: merge(schema, infer_record(record, before), ""),
        lambda left, right: merge(left, right, ""),
    )
    schema = replace_nulls(inferred) if inferred is not None else before
    return frame.sparkSession.createDataFrame(records, schema, verifySchema=False)


def _pickle_by_value(function: Callable[..., Any]) -> None:
    """Sends the function's module along, as workers may be unable to import it.

    In Glue, modules reach the workers with ``--extra-py-files``; here a script's folder does not.
    """
    from pyspark import cloudpickle  # noqa: PLC0415 - pyspark may be missing until here

    module = sys.modules.get(function.__module__) if isfunction(function) else None
    if module is not None and module.__name__ != "__main__":  # which is always sent
        cloudpickle.register_pickle_by_value(module)


def as_record(row: Row) -> DynamicRecord:
    """Returns a row as a record, with those inside it."""
    return DynamicRecord({name: _as_value(value) for name, value in zip(row.__fields__, row)})


def _as_value(value: Any) -> Any:
    if hasattr(value, "__fields__"):
        return as_record(value)
    if isinstance(value, list):
        return [_as_value(each) for each in value]
    if isinstance(value, dict):
        return {key: _as_value(each) for key, each in value.items()}
    return value


def infer_record(record: Any, before: StructType) -> StructType:
    """Returns the schema of one record; fields keep their types where the values still fit."""
    from pyspark.sql import types  # noqa: PLC0415 - on executors, where pyspark is loaded

    if not isinstance(record, dict):
        raise LocalGlueError(
            f"the function given to map must return a record, not {type(record).__name__}"
        )
    known = {field.name: field.dataType for field in before.fields}
    return types.StructType(
        [
            types.StructField(name, _infer(value, known.get(name), name))
            for name, value in record.items()
        ]
    )


def _infer(value: Any, before: DataType | None, path: str) -> DataType:
    from pyspark.sql import types  # noqa: PLC0415

    if value is None:
        return before or types.NullType()
    if isinstance(value, dict):
        if isinstance(before, types.MapType):
            return before
        inside = before if isinstance(before, types.StructType) else types.StructType()
        return infer_record(value, inside)
    if isinstance(value, (list, tuple)):
        element = before.elementType if isinstance(before, types.ArrayType) else None
        kinds = [_infer(each, element, path) for each in value]
        return types.ArrayType(reduce(partial(merge, path=path), kinds, types.NullType()))
    found = _simple_type(value, path)
    return before if before is not None and _fits(value, found, before) else found


def _fits(value: Any, kind: DataType, before: DataType) -> bool:
    """Returns True if a value of a changed record still has the type of its field."""
    from pyspark.sql import types  # noqa: PLC0415

    if isinstance(value, int) and not isinstance(value, bool):
        bits = {"tinyint": 7, "smallint": 15, "int": 31, "bigint": 63}.get(before.simpleString())
        return bits is not None and -(2**bits) <= value < 2**bits
    if isinstance(value, float):
        return isinstance(before, types.FractionalType) and not isinstance(
            before, types.DecimalType
        )
    return type(before) is type(kind)


def _simple_type(value: Any, path: str) -> DataType:
    from datetime import date, datetime  # noqa: PLC0415
    from decimal import Decimal  # noqa: PLC0415

    from pyspark.sql import types  # noqa: PLC0415

    for kind, found in (
        (bool, types.BooleanType()),
        (int, types.LongType()),
        (float, types.DoubleType()),
        (str, types.StringType()),
        ((bytes, bytearray), types.BinaryType()),
        (datetime, types.TimestampType()),
        (date, types.DateType()),
        (Decimal, types.DecimalType(38, 18)),
    ):
        if isinstance(value, kind):
            return found
    raise LocalGlueError(f"the field '{path}' has a value of the type {type(value).__name__}")


def merge(left: DataType | None, right: DataType | None, path: str) -> Any:
    """Returns the type of values of both types. Raises LocalGlueError if there is none.

    Glue would make a choice of them, which needs its own records.
    """
    from pyspark.sql import types  # noqa: PLC0415

    if left is None or right is None or left == right:
        return right if left is None else left
    for one, other in ((left, right), (right, left)):
        if isinstance(one, types.NullType):
            return other
        if isinstance(one, types.IntegralType) and isinstance(other, types.LongType):
            return other
    if isinstance(left, types.ArrayType) and isinstance(right, types.ArrayType):
        return types.ArrayType(merge(left.elementType, right.elementType, path))
    if isinstance(left, types.StructType) and isinstance(right, types.StructType):
        return _merge_structs(left, right, path)
    raise LocalGlueError(
        f"the field '{path}' is {left.simpleString()} in some records and {right.simpleString()} "
        "in others; Glue makes a choice type of it, which the local awsglue does not have: "
        "return one type"
    )


def _merge_structs(left: StructType, right: StructType, path: str) -> StructType:
    from pyspark.sql import types  # noqa: PLC0415

    found = {field.name: field.dataType for field in left.fields}
    for field in right.fields:
        inner = f"{path}.{field.name}" if path else field.name
        found[field.name] = merge(found.get(field.name), field.dataType, inner)
    return types.StructType([types.StructField(name, kind) for name, kind in found.items()])


def replace_nulls(kind: Any) -> Any:
    """Returns a type with strings in place of types that no value has shown."""
    from pyspark.sql import types  # noqa: PLC0415

    if isinstance(kind, types.NullType):
        return types.StringType()
    if isinstance(kind, types.ArrayType):
        return types.ArrayType(replace_nulls(kind.elementType))
    if isinstance(kind, types.StructType):
        return types.StructType(
            [types.StructField(each.name, replace_nulls(each.dataType)) for each in kind.fields]
        )
    return kind
