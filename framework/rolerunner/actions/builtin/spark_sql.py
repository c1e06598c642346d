"""Defines the action ``spark.sql``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import BeforeValidator, model_validator

from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.permissions import object_permission, prefix_permission
from rolerunner.actions.spark_buckets import OpenBuckets, open_buckets
from rolerunner.iam.actions_table import build_bucket_arn
from rolerunner.model import Permission, Role, S3Uri
from rolerunner.spark import sql
from rolerunner.spark.pool import run_cancellable
from rolerunner.spark.session import get_session
from rolerunner.spec.field_types import DYNAMIC, StrictModel, Text, json_form

_PROBED = "S3A looks for an object with the name of a folder"
MAX_ROWS = 1000
"""Maximum number of rows in the outputs, which pass through memory and the result file."""


def _validate_place(value: Any) -> Any:
    if isinstance(value, str):
        if value.startswith("s3://"):
            return S3Uri.parse(value)
        if "://" in value and not value.startswith("file://"):
            raise ValueError(
                f"must be s3://bucket/prefix/ or a path on this machine, not '{value}'"
            )
    return value


Place = Annotated[
    Union[S3Uri, str], BeforeValidator(_validate_place), json_form(type="string"), DYNAMIC
]
"""``s3://bucket/prefix/``, or a path where every machine of the cluster sees it."""
Options = dict[str, Text]
Format = Annotated[Literal["parquet", "csv", "json", "orc", "avro", "text"], DYNAMIC]


class Table(StrictModel):
    """A table to read."""

    location: Place = Field(
        description="s3://bucket/prefix/ of the files; on a laptop also a path.",
        examples=["s3://landing/orders/"],
    )
    format: Format = Field(
        "parquet", description="parquet, csv, json, orc, avro or text.", examples=["csv"]
    )
    options: Options = Field(
        default_factory=dict,
        description="Options of Spark's reader.",
        examples=[{"header": "true"}],
    )


class Target(Table):
    """A table to write."""

    location: Place = Field(
        description="s3://bucket/prefix/ to write under.", examples=["s3://publish/orders/"]
    )
    mode: Annotated[Literal["error", "overwrite", "append"], DYNAMIC] = Field(
        "error",
        description="What to do when the target exists: error, overwrite or append.",
        examples=["overwrite"],
    )
    options: Options = Field(
        default_factory=dict,
        description="Options of Spark's writer.",
        examples=[{"compression": "gzip"}],
    )
    partition_by: list[Text] = Field(
        default_factory=list,
        description="Columns to partition by; their values become folders.",
        examples=[["day"]],
    )


class SparkSql(Action):
    """Read tables with Spark, run a query over them, write the result.

    Hadoop's S3A reads the sources as ``source_role`` and writes the target as ``target_role``;
    these may be two roles on one bucket. Without ``query`` the single source is written to the
    target as it is, which converts its format. Without ``target`` the first rows are the output.
    On a cluster S3A assumes the roles itself; a role with session tags, source identity, policy
    ARNs or ``via`` is refused there, since S3A does not support them.
    """

    kind: ClassVar[str] = "spark.sql"
    content_fields: ClassVar[tuple[str, ...]] = ("query", "options")
    role_fields: ClassVar[tuple[str, ...]] = ("source_role", "target_role")
    example: ClassVar[Mapping[str, Any]] = {
        "query": "SELECT country, sum(amount) AS amount FROM orders GROUP BY country",
        "target": {"location": "s3://publish/countries/", "mode": "overwrite"},
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "count": "how many rows were written, or are in rows",
        "columns": "their names",
        "rows": f"without a target, the first {MAX_ROWS:,} rows as mappings;"
        " values other than numbers, text and null become text",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "count": 1,
        "columns": ["country"],
        "rows": [{"country": "at"}],
    }

    sources: dict[str, Table] = Field(
        description="The tables, by their names in the query.",
        examples=[{"orders": {"location": "s3://landing/orders/", "format": "parquet"}}],
    )
    query: Optional[Text] = Field(
        None,
        description="Spark SQL over the sources; without it the single source is taken as it is.",
        examples=["SELECT * FROM orders"],
    )
    target: Optional[Target] = Field(
        None,
        description="The table to write the result to.",
        examples=[{"location": "s3://publish/orders/"}],
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "SparkSql":
        if isinstance(self.sources, dict):
            if not self.sources:
                raise ValueError("'sources' needs at least one table")
            if self.query is None and len(self.sources) != 1:
                raise ValueError("'query' is required with several sources")
            wrong = next((name for name in self.sources if not name.isidentifier()), None)
            if wrong is not None:
                raise ValueError(
                    f"'sources': '{wrong}' is not a table name: use letters, digits and '_'"
                )
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Opens the buckets under their roles, runs the query and writes its result."""
        session = get_session()
        with open_buckets(session, context, self._list_buckets(context.roles)) as opened:
            try:
                return run_cancellable(
                    session.sparkContext,
                    context.cancel,
                    f"rolerunner: {context.step_id}",
                    lambda: self._run_query(session, context.roles, opened),
                )
            except sql.QueryFailed as failed:
                raise opened.explain(failed) from failed

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing the buckets and reading the sources; writing and deleting under the target.

        S3A looks for objects with the names of folders, so it reads those names too. Listing is not
        limited to a prefix: else S3 answers 403 for an object that does not exist, not 404. Spark's
        committers delete the temporary files that they wrote.
        """
        read = [each for table in self._list_tables() for each in _read_permissions(table)]
        written = self.target if isinstance(self.target, Target) else None
        return {
            "source_role": read,
            "target_role": [] if written is None else _write_permissions(written),
        }

    def _list_tables(self) -> list[Table]:
        return (
            [table for table in self.sources.values() if isinstance(table, Table)]
            if isinstance(self.sources, dict)
            else []
        )

    def _list_buckets(self, roles: Mapping[str, Role]) -> list[tuple[Role, str]]:
        """Returns each pair of a role and a bucket that it accesses."""
        tables = [(roles["source_role"], each) for each in self._list_tables()]
        if self.target is not None:
            tables.append((roles["target_role"], self.target))
        located = [(role, table.location) for role, table in tables]
        found = [(role, place.bucket) for role, place in located if isinstance(place, S3Uri)]
        return list(dict.fromkeys(found))

    def _run_query(
        self, session: Any, roles: Mapping[str, Role], opened: OpenBuckets
    ) -> Mapping[str, Any]:
        read, written = roles["source_role"], roles["target_role"]
        tables = {name: _locate(opened, read, table) for name, table in self.sources.items()}
        target = self.target
        if target is None:
            columns, rows = sql.fetch_rows(session, tables, self.query, MAX_ROWS)
            return {"count": len(rows), "columns": columns, "rows": rows}
        committer = opened.find_committer(written, target.location)
        count, columns = sql.write_rows(
            session,
            tables,
            self.query,
            _locate(opened, written, target, committer),
            target.mode,
            list(target.partition_by),
            has_committer=bool(committer),
        )
        return {"count": count, "columns": columns, "rows": None}


def _locate(
    opened: OpenBuckets, role: Role, table: Table, options: Optional[Mapping[str, str]] = None
) -> sql.TableFiles:
    url, settings = opened.locate(role, table.location)
    return sql.TableFiles(url, table.format, {**table.options, **settings, **(options or {})})


def _read_permissions(table: Table) -> list[Permission]:
    place = table.location
    if not isinstance(place, S3Uri):
        return []
    return [
        Permission("s3:ListBucket", build_bucket_arn(place)),
        prefix_permission("s3:GetObject", place),
        *(object_permission("s3:GetObject", each, _PROBED) for each in _list_folders(place)[:1]),
    ]


def _write_permissions(table: Table) -> list[Permission]:
    place = table.location
    if not isinstance(place, S3Uri):
        return []
    actions = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
    return [
        Permission("s3:ListBucket", build_bucket_arn(place)),
        *(prefix_permission(action, place) for action in actions),
        *(object_permission("s3:GetObject", each, _PROBED) for each in _list_folders(place)),
    ]


def _list_folders(place: S3Uri) -> list[S3Uri]:
    """Returns the folder and those above it, as the objects that S3A looks for."""
    parts = place.key.rstrip("/").split("/")
    names = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return [S3Uri(place.bucket, name) for name in names if name]
