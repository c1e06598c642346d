"""Defines the action ``athena.query``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Optional

from pydantic import model_validator

from rolerunner.actions.athena_run import AthenaRun, failed_error
from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.object_values import KmsKey
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.polling_fields import RegionFields, growing_interval_field, max_wait_field
from rolerunner.actions.query_results import QueryRows, list_result_objects
from rolerunner.actions.query_text import (
    Literal,
    QueryField,
    QueryFile,
)
from rolerunner.actions.remote_work import (
    forget_work,
    stop_unless_done,
)
from rolerunner.common.wording import format_count
from rolerunner.iam.actions_table import (
    KEY_WRITE_ACTIONS,
    build_bucket_arn,
    build_resource_arn,
    build_table_arns,
    derive_key_permissions,
)
from rolerunner.model import Dataset, Permission, S3Uri, StepDatasets
from rolerunner.selection.manifest import EMPTY_LIST, placeholder_list
from rolerunner.spec.field_types import DYNAMIC, Account, Bytes, Name, S3Location, Seconds

_GLUE_CATALOG = "AwsDataCatalog"
"""The catalog of Athena that is the Glue Data Catalog of the account."""
_READS_TABLES = (
    "glue:GetTable",
    "glue:GetTables",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:BatchGetPartition",
)
_WRITES_RESULT = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_MOST_ROWS = 10_000
_LONGEST_REUSE = 7 * 24 * 3600.0


class AthenaQuery(RegionFields, Action):
    """Run a SQL query with Athena, wait for its end, and take its rows and its result object.

    The query is cancelled when the step is stopped, fails or takes too long. A retry of a lost
    request starts no second query, and a resumed run waits for the query that an earlier one
    started. Values belong in ``parameters``, for each ``?`` in the query: they are passed as
    literals, so that no value can change the query. ``objects`` has the result file of a SELECT,
    and the files that INSERT INTO, CREATE TABLE AS or UNLOAD wrote.
    """

    kind: ClassVar[str] = "athena.query"
    content_fields: ClassVar[tuple[str, ...]] = ("query",)
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {
        "database": "sales",
        "parameters": ["2026-01-31"],
        "output_location": "s3://results/orders/",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "query_id": "the id of the query",
        "rows": "the first `max_rows` rows, up to a million characters, as mappings; whole"
        " numbers, floating-point numbers and booleans keep their type, null is null, and all else"
        " is text",
        "columns": "name and type of each column",
        "count": "how many rows are in rows; of INSERT INTO, how many were written",
        "truncated": "true if the query has more rows than rows has",
        "objects": "the objects that the query wrote, for other steps",
        "result": "the s3:// URI of the result; empty if the workgroup manages it",
        "scanned_bytes": "how many bytes the query scanned, which Athena charges for",
        "engine_seconds": "how long the query ran",
        "reused": "true if the result is that of an earlier query",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "query_id": "a1b2",
        "rows": [{"country": "at"}],
        "columns": [{"name": "country", "type": "varchar"}],
        "count": 1,
        "truncated": False,
        "objects": EMPTY_LIST,
        "result": "s3://bucket/key",
        "scanned_bytes": 1,
        "engine_seconds": 1.5,
        "reused": False,
    }

    query: QueryField = Field(
        description="SQL, or a file: `{from: s3://ops/orders.sql, role: ops}`.",
        examples=["SELECT country, count(*) AS orders FROM orders WHERE day = ? GROUP BY country"],
    )
    parameters: list[Annotated[Literal, DYNAMIC]] = Field(
        default_factory=list,
        description="A value for each ? in the query: text, numbers, true, false, dates or null.",
        examples=[["2026-01-31", 10]],
    )
    workgroup: Name = Field(
        "primary", description="The workgroup that the query runs in.", examples=["reports"]
    )
    database: Optional[Name] = Field(
        None, description="The database of tables without one.", examples=["sales"]
    )
    catalog: Optional[Name] = Field(
        None,
        description="The catalog of databases without one; by default that of the account.",
        examples=["AwsDataCatalog"],
    )
    output_location: Optional[S3Location] = Field(
        None,
        description="The prefix for the result; by default that of the workgroup.",
        examples=["s3://results/orders/"],
    )
    kms_key: Optional[KmsKey] = Field(
        None,
        description="The KMS key (an id, ARN or alias) that encrypts the result.",
        examples=["alias/results"],
    )
    expected_bucket_owner: Optional[Account] = Field(
        None,
        description="The account that must own the bucket of the result.",
        examples=["111122223333"],
    )
    reuse_results: Optional[Seconds] = Field(
        None,
        description="Take the result of the same query that is at most so old, without a scan.",
        examples=["1h"],
    )
    max_rows: Annotated[int, Field(ge=0, le=_MOST_ROWS), DYNAMIC] = Field(
        1000, description="Maximum number of rows in the outputs; 0 reads none.", examples=[100]
    )
    max_scanned: Optional[Bytes] = Field(
        None,
        description="Cancel the query once it has scanned more than this.",
        examples=["10GB"],
    )
    interval: Seconds = growing_interval_field(10.0, "the query")
    max_wait: Seconds = max_wait_field(3600.0, then="the query is cancelled")

    @model_validator(mode="after")
    def _makes_sense(self) -> "AthenaQuery":
        location = self.output_location
        if isinstance(location, S3Uri) and not location.is_prefix and "*" not in str(location):
            raise ValueError(f"'output_location' must be a prefix that ends with '/': {location}/")
        if self.kms_key is not None and location is None:
            raise ValueError("'kms_key' is for a result at 'output_location'")
        reuse = self.reuse_results
        if isinstance(reuse, float) and not 60 <= reuse <= _LONGEST_REUSE:  # noqa: PLR2004 - seconds
            raise ValueError("'reuse_results' must be from 1m to 7d")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Starts the query, waits for its end, and reads the rows of its result."""
        text = self.query.read(context) if isinstance(self.query, QueryFile) else self.query
        run = AthenaRun(self, context)
        query_id = run.start(text)
        with stop_unless_done(context, f"query {query_id}", lambda: run.stop(query_id)):
            execution = run.wait(query_id)
        if execution["Status"]["State"] != "SUCCEEDED":
            forget_work(context)
            raise failed_error(self.query, query_id, execution["Status"])
        return self._build_outputs(run, query_id, execution)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Queries in the workgroup, metadata of `database`, and the result at `output_location`.

        What cannot be derived goes under `permissions`: the data of the tables (`s3:GetObject`
        and `s3:ListBucket` on their locations, `s3:GetBucketLocation` on their buckets, and
        `kms:Decrypt` on their keys), tables of other databases, catalogs and accounts, what
        INSERT INTO, CREATE TABLE AS and UNLOAD write, and the location that a workgroup sets.
        Where Lake Formation governs the tables, the role needs its grants and
        `lakeformation:GetDataAccess`.
        """
        needed = [
            Permission(f"athena:{action}", build_resource_arn("athena", name))
            for name in [f"workgroup/{self.workgroup}"]
            for action in self._list_calls()
        ]
        needed += [*self._list_catalog_permissions(), *self._list_result_permissions()]
        read = self.query.permissions() if isinstance(self.query, QueryFile) else []
        return {"role": needed, **({"query.role": read} if read else {})}

    def list_datasets(self) -> StepDatasets:
        """Returns the tables of a catalog that is not the Data Catalog, as far as fields tell."""
        if self.catalog in (None, _GLUE_CATALOG):
            return StepDatasets()
        namespace = f"awsathena://athena.{self.region or '*'}.amazonaws.com"
        tables = Dataset(namespace, f"{self.catalog}.{self.database or '*'}.*")
        return StepDatasets(inputs=(tables,))

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns a list of objects under the location of the result."""
        location = self.output_location
        return {} if location is None else {"objects": placeholder_list(location)}

    def list_read_fields(self) -> tuple[str, ...]:
        """Returns none: the query names its tables."""
        return ()

    def tracked_paths(self, context: StepContext, outputs: Mapping[str, Any]) -> Sequence[str]:
        """Returns the local file of the query."""
        del context, outputs
        is_local = isinstance(self.query, QueryFile) and isinstance(self.query.place, str)
        return [str(self.query.place)] if is_local else []  # type: ignore[union-attr]

    def _list_calls(self) -> list[str]:
        read = ["GetQueryResults"] if self.max_rows else []
        return ["StartQueryExecution", "GetQueryExecution", "StopQueryExecution", *read]

    def _list_catalog_permissions(self) -> list[Permission]:
        if self.catalog not in (None, _GLUE_CATALOG):
            arn = build_resource_arn("athena", f"datacatalog/{self.catalog}")
            return [Permission("athena:GetDataCatalog", arn)]
        # Athena looks at the database 'default', too, whatever the query names
        names = dict.fromkeys(["default", *([self.database] if self.database else [])])
        above = [build_table_arns(name, "*")[:2] for name in names]
        databases = dict.fromkeys(arn for arns in above for arn in arns)
        tables = build_table_arns(self.database, "*") if self.database else ()
        return [
            *(Permission("glue:GetDatabase", arn) for arn in databases),
            *(Permission(action, arn) for action in _READS_TABLES for arn in tables),
        ]

    def _list_result_permissions(self) -> list[Permission]:
        place = self.output_location
        if place is None:
            return []
        key = self.kms_key
        return [
            Permission("s3:GetBucketLocation", build_bucket_arn(place)),
            Permission("s3:ListBucketMultipartUploads", build_bucket_arn(place)),
            list_permission(place),
            *(object_permission(action, place) for action in ("s3:GetObject", *_WRITES_RESULT)),
            *(derive_key_permissions(KEY_WRITE_ACTIONS, key) if key else ()),
        ]

    def _build_outputs(
        self, run: AthenaRun, query_id: str, execution: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        found = run.fetch_rows(query_id, execution) if self.max_rows else QueryRows()
        if found.is_truncated:
            told = format_count(len(found.rows), "row")
            message = f"rows has the first {told} of the query; objects has all of them"
            run.context.note("info", message, {})
        statistics = execution.get("Statistics", {})
        reuse = statistics.get("ResultReuseInformation", {})
        result = execution.get("ResultConfiguration", {}).get("OutputLocation", "")
        return {
            "query_id": query_id,
            "rows": found.rows,
            "columns": found.columns,
            "count": found.written or len(found.rows),
            "truncated": found.is_truncated,
            "objects": list_result_objects(execution, run.context),
            "result": result,
            "scanned_bytes": int(statistics.get("DataScannedInBytes") or 0),
            "engine_seconds": (statistics.get("EngineExecutionTimeInMillis") or 0) / 1000,
            "reused": bool(reuse.get("ReusedPreviousResult")),
        }
