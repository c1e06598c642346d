"""DynamicFrame, its collections, and its reader and writer, on top of Spark's DataFrame."""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Callable

from awsglue import _fields, _records
from awsglue.local import LocalGlueError, refuse, refuse_catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType, StructType

    from awsglue.context import GlueContext
    from awsglue.gluetypes import DynamicRecord

__all__ = [
    "DynamicFrame",
    "DynamicFrameCollection",
    "DynamicFrameReader",
    "DynamicFrameWriter",
    "ResolveOption",
]


class ResolveOption:
    """How ``toDF`` resolves the choice type of a path, which no frame has here."""

    def __init__(self, path: str, action: str, target: DataType | None = None) -> None:
        self.path = path
        self.action = action
        self.target = target


class DynamicFrame:
    """A distributed collection of records. Here it has the schema of a DataFrame.

    There are no choice types and no error records: a function that raises ends the job, whatever
    the thresholds. ``transformation_ctx`` and ``info`` are accepted and have no effect.
    """

    def __init__(self, jdf: DataFrame, glue_ctx: GlueContext, name: str = "") -> None:
        """Wraps a DataFrame (in Glue, a Java object); ``fromDF`` is the way that works in both."""
        self._frame = jdf
        self.glue_ctx = glue_ctx
        self.name = name

    def __repr__(self) -> str:
        return f"DynamicFrame({self.name!r}, {self._frame.schema.simpleString()})"

    @classmethod
    def fromDF(cls, dataframe: DataFrame, glue_ctx: GlueContext, name: str = "") -> DynamicFrame:
        """Returns a DataFrame as a DynamicFrame."""
        return cls(dataframe, glue_ctx, name)

    def toDF(self, options: Sequence[ResolveOption] | None = None) -> DataFrame:
        """Returns the frame as a DataFrame; ``options`` would resolve choice types."""
        return self._frame

    def count(self) -> int:
        """Returns the number of rows."""
        return int(self._frame.count())

    def schema(self) -> StructType:
        """Returns the schema, as Spark's type."""
        return self._frame.schema

    def printSchema(self) -> None:
        """Prints the schema."""
        self._frame.printSchema()

    def show(self, num_rows: int = 20) -> None:
        """Prints the first rows as JSON."""
        for line in self._frame.toJSON().take(num_rows):
            print(line)  # noqa: T201 - what it is for

    def getNumPartitions(self) -> int:
        """Returns the number of partitions."""
        return int(self._frame.rdd.getNumPartitions())

    def filter(
        self,
        f: Callable[[DynamicRecord], Any],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the records for which ``f`` returns true."""
        return self._of(_records.filter_rows(self._frame, f))

    def map(
        self,
        f: Callable[[DynamicRecord], Mapping[str, Any]],
        preservesPartitioning: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the records that ``f`` returns; ``f`` is called twice for each record."""
        return self._of(_records.map_rows(self._frame, f))

    def select_fields(
        self,
        paths: Sequence[str],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns a frame of the fields at ``paths``."""
        tree: _fields.Tree = {}
        for path in _fields.parse_paths(paths):
            _fields.insert(tree, path, _fields.column_of(self._frame, path))
        return self._of(self._frame.select(*_fields.build_columns(tree)))

    def drop_fields(
        self,
        paths: Sequence[str],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns a frame without the fields at ``paths``."""
        return self._of(_fields.remove_fields(self._frame, _fields.parse_paths(paths)))

    def rename_field(
        self,
        oldName: str,
        newName: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns a frame with a field under another name or at another path."""
        old, new = _fields.parse_path(oldName), _fields.parse_path(newName)
        column = _fields.column_of(self._frame, old)
        if len(old) == len(new) == 1:
            return self._of(self._frame.withColumnRenamed(old[0], new[0]))
        added = _fields.replace_field(self._frame, new, column)
        return self._of(_fields.remove_fields(added, [old]))

    def apply_mapping(
        self,
        mappings: Iterable[tuple[str, str, str, str]],
        case_sensitive: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the fields of the mappings: (source, its type, target, its type)."""
        tree: _fields.Tree = {}
        for source, _, target, target_type in mappings:
            column = _fields.column_of(self._frame, _fields.parse_path(source))
            kind = _fields.spark_type(target_type)
            column = column.cast(kind) if kind else column
            _fields.insert(tree, _fields.parse_path(target), column)
        return self._of(self._frame.select(*_fields.build_columns(tree)))

    def applyMapping(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        """Returns ``apply_mapping`` of the same arguments."""
        return self.apply_mapping(*args, **kwargs)

    def resolveChoice(
        self,
        specs: Sequence[tuple[str, str]] | None = None,
        choice: str = "",
        database: str | None = None,
        table_name: str | None = None,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        catalog_id: str | None = None,
    ) -> DynamicFrame:
        """Returns a frame with fields cast as ``specs`` say: ``[("price", "cast:double")]``.

        No field has a choice type here, so ``make_cols``, ``make_struct`` and ``choice`` change
        nothing, and ``project`` works for the type that the field has.
        """
        if specs is not None and choice:
            raise LocalGlueError("resolveChoice takes specs or choice, not both")
        if choice == "match_catalog" or database or table_name:
            refuse_catalog("DynamicFrame.resolveChoice", database, table_name)
        frame = self._frame
        for path, action in specs or ():
            frame = _resolve(frame, _fields.parse_path(path), action)
        return self._of(frame)

    def join(
        self,
        paths1: Sequence[str],
        paths2: Sequence[str],
        frame2: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the equality join; clashing fields of ``frame2`` get a dot before their name."""
        own, others = _fields.parse_paths(paths1), _fields.parse_paths(paths2)
        if not own or len(own) != len(others):
            raise LocalGlueError("join needs as many keys of one frame as of the other")
        left, right = self._frame, frame2.toDF()
        for path in others:
            _fields.column_of(right, path)
        taken = {name.lower() for name in left.columns}
        renamed = {name: f".{name}" for name in right.columns if name.lower() in taken}
        right = right.toDF(*(renamed.get(name, name) for name in right.columns))
        matches = [
            _fields.column_of(left, one)
            == _fields.column_of(right, (renamed.get(other[0], other[0]), *other[1:]))
            for one, other in zip(own, others)
        ]
        return self._of(left.join(right, reduce(and_, matches)))

    def union(
        self,
        other_frame: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the records of both frames; a field that one of them lacks is null there."""
        return self._of(self._frame.unionByName(other_frame.toDF(), allowMissingColumns=True))

    def repartition(
        self,
        num_partitions: int,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the frame in so many partitions."""
        return self._of(self._frame.repartition(num_partitions))

    def coalesce(
        self,
        num_partitions: int,
        shuffle: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Returns the frame in at most so many partitions; with ``shuffle`` in exactly so many."""
        merge = self._frame.repartition if shuffle else self._frame.coalesce
        return self._of(merge(num_partitions))

    def write(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] = {},
        format: str | None = None,
        format_options: Mapping[str, Any] = {},
        accumulator_size: int = 0,
    ) -> DynamicFrame:
        """Writes the frame and returns it; see ``GlueContext.write_dynamic_frame``."""
        return self.glue_ctx.write_dynamic_frame_from_options(
            self, connection_type, connection_options, format, format_options
        )

    def relationalize(
        self,
        root_table_name: str,
        staging_path: str,
        options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Raises LocalGlueError: it works in Glue alone."""
        refuse("DynamicFrame.relationalize", _WITH_DATAFRAME)

    def unnest(
        self,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Raises LocalGlueError: it works in Glue alone."""
        refuse("DynamicFrame.unnest", _WITH_DATAFRAME)

    def unbox(
        self,
        path: str,
        format: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        **options: Any,
    ) -> DynamicFrame:
        """Raises LocalGlueError: it works in Glue alone."""
        refuse("DynamicFrame.unbox", _WITH_DATAFRAME)

    def split_fields(
        self,
        paths: Sequence[str],
        name1: str,
        name2: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Returns two frames: ``name1`` has the fields at ``paths``, ``name2`` the others."""
        named = {name1: self.select_fields(paths), name2: self.drop_fields(paths)}
        return DynamicFrameCollection(named, self.glue_ctx)

    def errorsCount(self) -> int:
        """Returns 0, as errors are raised."""
        return 0

    def stageErrorsCount(self) -> int:
        """Returns 0, as errors are raised."""
        return 0

    def assertErrorThreshold(self) -> None:
        """Returns, as errors are raised."""

    def _of(self, frame: DataFrame) -> DynamicFrame:
        return DynamicFrame(frame, self.glue_ctx, self.name)


_WITH_DATAFRAME = "use toDF and Spark's functions, or run it in Glue"


def _resolve(frame: DataFrame, path: _fields.Path, action: str) -> DataFrame:
    """Returns the frame with one action of ``resolveChoice`` applied."""
    column = _fields.column_of(frame, path)
    verb, _, target = action.partition(":")
    if verb in {"make_cols", "make_struct"}:
        return frame
    kind = _fields.spark_type(target) if verb in {"cast", "project"} else None
    if kind is None:
        raise LocalGlueError(
            f"resolveChoice has no action '{action}' for '{'.'.join(path)}': "
            "use cast:TYPE, project:TYPE, make_cols or make_struct"
        )
    changed = _fields.replace_field(frame, path, column.cast(kind))
    if verb == "project" and changed.schema != frame.schema:
        refuse(f"resolveChoice with '{action}' for a field of another type", f"use cast:{target}")
    return changed


class DynamicFrameCollection:
    """Frames by their names."""

    def __init__(self, dynamic_frames: Mapping[str, DynamicFrame], glue_ctx: GlueContext) -> None:
        self._frames = dict(dynamic_frames)
        self._glue_ctx = glue_ctx

    def __getitem__(self, key: str) -> DynamicFrame:
        return self._frames[key]

    def __len__(self) -> int:
        return len(self._frames)

    def keys(self) -> Iterable[str]:
        """Returns the names."""
        return self._frames.keys()

    def values(self) -> Iterable[DynamicFrame]:
        """Returns the frames."""
        return self._frames.values()

    def select(self, key: str, transformation_ctx: str = "") -> DynamicFrame:
        """Returns the frame of a name. Raises LocalGlueError."""
        if key not in self._frames:
            raise LocalGlueError(
                f"the collection has no frame '{key}'; it has {', '.join(self._frames)}"
            )
        return self._frames[key]

    def map(
        self,
        callable: Callable[[DynamicFrame, str], DynamicFrame],
        transformation_ctx: str = "",
    ) -> DynamicFrameCollection:
        """Returns what the function makes of each frame and ``transformation_ctx``."""
        mapped = {name: callable(each, transformation_ctx) for name, each in self._frames.items()}
        return DynamicFrameCollection(mapped, self._glue_ctx)


class DynamicFrameReader:
    """Reads frames: ``create_dynamic_frame.from_options(...)``."""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context

    def from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] = {},
        format: str | None = None,
        format_options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DynamicFrame:
        """Reads files; see ``GlueContext.create_dynamic_frame_from_options``."""
        return self._glue_context.create_dynamic_frame_from_options(
            connection_type,
            connection_options,
            format,
            format_options,
            transformation_ctx,
            push_down_predicate,
            **kwargs,
        )

    def from_catalog(
        self,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        additional_options: Mapping[str, Any] = {},
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DynamicFrame:
        """Raises LocalGlueError: there is no Data Catalog here."""
        return self._glue_context.create_dynamic_frame_from_catalog(
            database,
            table_name,
            redshift_tmp_dir,
            transformation_ctx,
            push_down_predicate,
            additional_options,
            catalog_id,
            **kwargs,
        )


class DynamicFrameWriter:
    """Writes frames: ``write_dynamic_frame.from_options(...)``."""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context

    def from_options(
        self,
        frame: DynamicFrame,
        connection_type: str,
        connection_options: Mapping[str, Any] = {},
        format: str | None = None,
        format_options: Mapping[str, Any] = {},
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        """Writes files; see ``GlueContext.write_dynamic_frame_from_options``."""
        return self._glue_context.write_dynamic_frame_from_options(
            frame, connection_type, connection_options, format, format_options, transformation_ctx
        )

    def from_catalog(
        self,
        frame: DynamicFrame,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        additional_options: Mapping[str, Any] = {},
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DynamicFrame:
        """Raises LocalGlueError: there is no Data Catalog here."""
        return self._glue_context.write_dynamic_frame_from_catalog(
            frame,
            database,
            table_name,
            redshift_tmp_dir,
            transformation_ctx,
            additional_options,
            catalog_id,
            **kwargs,
        )

    def from_jdbc_conf(
        self,
        frame: DynamicFrame,
        catalog_connection: str,
        connection_options: Mapping[str, Any] = {},
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        """Raises LocalGlueError: connections of the Data Catalog exist in Glue alone."""
        return self._glue_context.write_dynamic_frame_from_jdbc_conf(
            frame, catalog_connection, connection_options, redshift_tmp_dir, transformation_ctx
        )
