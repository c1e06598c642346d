"""Defines the action ``spark.sql``."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import BeforeValidator, model_validator

from rolerunner.actions import s3a
from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.permissions import list_permission, prefix_permission
from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.model import AUTO, PER_STEP, Permission, Role, S3Uri, Step
from rolerunner.spark import sql
from rolerunner.spark.pool import run_cancellable
from rolerunner.spark.session import get_session
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import DYNAMIC, StrictModel, Text, json_form

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

    S3A reads the sources as ``source_role`` and writes the target as ``target_role``; it assumes
    the roles in every JVM. Without ``query`` the single source is written to the target as it is,
    which converts its format. Without ``target`` the first rows are the output. S3A supports one
    role for each bucket, and no session tags, source identity, policy ARNs or ``via``: a spec that
    needs them is refused.
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
        """Configures S3A, runs the query and writes its result."""
        buckets = self._map_buckets(context.roles)
        if buckets and context.in_sandbox:
            hint = "to try the query on local files, set 'location' to a path"
            raise StepError(
                "Spark's own reads and writes go to AWS, not to the sandbox",
                hint=hint,
                type="NotInSandbox",
            )
        for role in dict.fromkeys(buckets.values()):
            _check_role(role)
        session = get_session()
        own = sql.find_credentials_provider(session)
        name = f"rolerunner-{context.run_id}"
        for bucket, role in buckets.items():
            sql.configure_bucket(
                session,
                bucket,
                s3a.settings(
                    bucket, role, name, role.region or context.sessions.require_region(), own
                ),
            )
        try:
            return run_cancellable(
                session.sparkContext,
                context.cancel,
                f"rolerunner: {context.step_id}",
                lambda: self._run_query(session),
            )
        except sql.QueryFailed as failed:
            raise _explain_java_error(failed, buckets) from failed

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing and reading the sources; listing, writing and deleting under the target.

        Spark's committers delete the temporary files that they wrote.
        """
        read = [
            each
            for table in self._list_tables()
            for each in _table_permissions(table, "s3:GetObject")
        ]
        wanted = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
        written = (
            _table_permissions(self.target, *wanted) if isinstance(self.target, Target) else []
        )
        return {"source_role": read, "target_role": written}

    @classmethod
    def find_conflicts(cls, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
        """Yields sessions that S3A cannot request, and buckets with two roles."""
        taken: dict[str, tuple[str, Role]] = {}
        for step in steps:
            for role in dict.fromkeys(step.roles.values()):
                if any(s3a.cannot(role)):
                    yield step.id, _explain_refusal(role)
            for bucket, role in _list_named_buckets(step):
                other_step, other = taken.setdefault(bucket, (step.id, role))
                if other == role and role.policy == PER_STEP and other_step != step.id:
                    problem = (
                        f"'{role}' has a session for each step (session_policy: {PER_STEP}),"
                        f" and '{other_step}' reaches the bucket '{bucket}' too"
                    )
                    yield (
                        step.id,
                        (
                            f"{problem}: Spark has one session for each bucket;"
                            f" use 'session_policy: {AUTO}'"
                        ),
                    )
                elif other != role:
                    of = "" if other_step == step.id else f" in the step '{other_step}'"
                    yield (
                        step.id,
                        (
                            f"the bucket '{bucket}' would be accessed as '{role}' and as '{other}'"
                            f"{of}: Spark supports one role for each bucket"
                        ),
                    )

    def _list_tables(self) -> list[Table]:
        return (
            [table for table in self.sources.values() if isinstance(table, Table)]
            if isinstance(self.sources, dict)
            else []
        )

    def _map_buckets(self, roles: Mapping[str, Role]) -> dict[str, Role]:
        """Bucket -> role. Raises StepError for a bucket that both roles would reach."""
        found = {
            table.location.bucket: roles["source_role"]
            for table in self._list_tables()
            if isinstance(table.location, S3Uri)
        }
        if self.target is not None and isinstance(self.target.location, S3Uri):
            bucket, role = self.target.location.bucket, roles["target_role"]
            if found.setdefault(bucket, role) != role:
                raise StepError(
                    f"the bucket '{bucket}' would be accessed as two roles:"
                    " Spark supports one role for each bucket",
                    type="OneRoleABucket",
                )
        return found

    def _run_query(self, session: Any) -> Mapping[str, Any]:
        tables = {
            name: sql.TableFiles(_s3a_url(table.location), table.format, dict(table.options))
            for name, table in self.sources.items()
        }
        target = self.target
        if target is None:
            columns, rows = sql.fetch_rows(session, tables, self.query, MAX_ROWS)
            return {"count": len(rows), "columns": columns, "rows": rows}
        data = sql.TableFiles(_s3a_url(target.location), target.format, dict(target.options))
        count, columns = sql.write_rows(
            session, tables, self.query, data, target.mode, list(target.partition_by)
        )
        return {"count": count, "columns": columns, "rows": None}


def _s3a_url(place: Union[S3Uri, str]) -> str:
    return s3a.url(place) if isinstance(place, S3Uri) else place


def _table_permissions(table: Table, *actions: str) -> list[Permission]:
    place = table.location
    return (
        [list_permission(place), *(prefix_permission(action, place) for action in actions)]
        if isinstance(place, S3Uri)
        else []
    )


def _explain_refusal(role: Role) -> str:
    return f"the role '{role}' has {' and '.join(s3a.cannot(role))}, which S3A does not support"


def _check_role(role: Role) -> None:
    if any(s3a.cannot(role)):
        raise StepError(
            _explain_refusal(role), hint="use a role without them for this step", type="S3aCannot"
        )


def _list_named_buckets(step: Step) -> Iterator[tuple[str, Role]]:
    """Yields each bucket that the step names literally, with its role."""
    sources, target = step.fields.get("sources"), step.fields.get("target")
    tables: Iterable[Any] = sources.values() if isinstance(sources, Mapping) else ()
    for field, table in (*(("source_role", each) for each in tables), ("target_role", target)):
        bucket = _bucket_of(table.get("location")) if isinstance(table, Mapping) else ""
        if bucket and field in step.roles:
            yield bucket, step.roles[field]


def _bucket_of(place: Any) -> str:
    """Returns the bucket of a location; empty if it depends on an expression."""
    text = place.parts[0] if isinstance(place, Template) and place.parts else place
    bucket_match = re.match(r"s3://([^/$]+)/", text) if isinstance(text, str) else None
    return bucket_match.group(1) if bucket_match else ""


def _explain_java_error(failed: sql.QueryFailed, buckets: Mapping[str, Role]) -> StepError:
    """Returns a Java error about S3 as AWS's own error, for the role of its bucket."""
    place = s3a.place_in(failed.text)
    bucket = (
        place.bucket
        if place.bucket in buckets
        else next((each for each in buckets if each in failed.text), next(iter(buckets), ""))
    )
    role = buckets.get(bucket)
    if role is not None and "sts:AssumeRole" in failed.text:
        return StepError(
            f"the role '{role}' could not be assumed by Spark: {failed.message}",
            hint="run 'rolerunner check' to see why",
            type="RoleRefused",
        )
    if role is not None and ("AccessDenied" in failed.text or "Status Code: 403" in failed.text):
        aws_error = AwsError(
            "AccessDenied", s3a.refusal_in(failed.text), s3a.operation_in(failed.text)
        )
        return explain_error(
            aws_error, role, bucket=bucket, key=place.key if place.bucket == bucket else ""
        )
    return failed
