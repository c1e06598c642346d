"""Models of the catalog, queries and jobs of a sandbox file, and their creation."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Optional

from pydantic import Field

from rolerunner.spec.field_types import Account, Seconds, StrictModel

RESULT_NAME = "rolerunner:result"
"""The name by which child.py knows a saved query that describes the result of others."""
OUTCOME_TAG = "rolerunner:outcome"
"""The tag by which child.py learns how the runs of a job end."""
Columns = dict[str, str]
"""Name of a column -> its type."""
_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
_FORMATS: Mapping[str, Mapping[str, Any]] = {
    "csv": {
        "InputFormat": _INPUT,
        "OutputFormat": _OUTPUT,
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            "Parameters": {"field.delim": ","},
        },
    },
    "json": {
        "InputFormat": _INPUT,
        "OutputFormat": _OUTPUT,
        "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"},
    },
    "parquet": {
        "InputFormat": f"{_PARQUET}.MapredParquetInputFormat",
        "OutputFormat": f"{_PARQUET}.MapredParquetOutputFormat",
        "SerdeInfo": {"SerializationLibrary": f"{_PARQUET}.serde.ParquetHiveSerDe"},
    },
}


class SandboxTable(StrictModel):
    """A table of the Data Catalog."""

    name: str = Field(min_length=1)
    location: str = Field(pattern="^s3://")
    format: Literal["csv", "json", "parquet"] = "csv"
    columns: Columns
    partition_keys: Columns = Field(default_factory=dict)
    parameters: dict[str, str] = Field(default_factory=dict)

    def as_input(self) -> dict[str, Any]:
        """Returns the TableInput of CreateTable."""
        return {
            "Name": self.name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", **self.parameters},
            "PartitionKeys": _list_columns(self.partition_keys),
            "StorageDescriptor": {
                "Columns": _list_columns(self.columns),
                "Location": self.location,
                **_FORMATS[self.format],
            },
        }


class SandboxDatabase(StrictModel):
    """A database of the Data Catalog, with its tables."""

    name: str = Field(min_length=1)
    account: Account
    region: Optional[str] = None
    tables: list[SandboxTable] = Field(default_factory=list)

    @property
    def place(self) -> str:
        """Its name, which no other database has."""
        return f"{self.name} of account {self.account}"


class SandboxWorkgroup(StrictModel):
    """A workgroup of Athena."""

    name: str = Field(min_length=1)
    account: Account
    region: Optional[str] = None
    output_location: Optional[str] = Field(None, pattern="^s3://")

    @property
    def place(self) -> str:
        """Its name, which no other workgroup has."""
        return f"{self.name} of account {self.account}"


class SandboxQueryResult(StrictModel):
    """The result of queries with a text, which no engine then runs."""

    query: str = Field(min_length=1, description="The text; * stands for any part of it.")
    account: Account
    region: Optional[str] = None
    columns: Columns = Field(default_factory=dict)
    rows: list[list[Any]] = Field(default_factory=list)
    error: str = Field("", description="The reason of a failure, instead of rows.")
    scanned_bytes: int = Field(0, ge=0)
    seconds: Seconds = 0.0

    def as_saved_query(self) -> dict[str, Any]:
        """Returns the parameters of CreateNamedQuery."""
        described = self.model_dump(include={"columns", "rows", "error", "scanned_bytes"})
        return {
            "Name": RESULT_NAME,
            "Database": "default",
            "QueryString": self.query,
            "Description": json.dumps({**described, "seconds": self.seconds}),
        }


class SandboxJob(StrictModel):
    """A job of Glue whose runs end as described; its script is not run."""

    name: str = Field(min_length=1)
    account: Account
    region: Optional[str] = None
    state: Literal["SUCCEEDED", "FAILED", "TIMEOUT", "ERROR"] = "SUCCEEDED"
    error: str = ""
    seconds: Seconds = 0.0

    @property
    def place(self) -> str:
        """Its name, which no other job has."""
        return f"{self.name} of account {self.account}"

    def as_input(self) -> dict[str, Any]:
        """Returns the parameters of CreateJob."""
        described = {"state": self.state, "error": self.error, "seconds": self.seconds}
        return {
            "Name": self.name,
            "Role": f"arn:aws:iam::{self.account}:role/{self.name}",
            "Command": {"Name": "glueetl", "ScriptLocation": "s3://sandbox/job.py"},
            "GlueVersion": "5.0",
            "MaxCapacity": 2.0,
            "Tags": {OUTCOME_TAG: json.dumps(described)},
        }


def _list_columns(columns: Columns) -> list[dict[str, str]]:
    return [{"Name": name, "Type": kind} for name, kind in columns.items()]


def create_database(database: SandboxDatabase, glue: Any) -> None:
    """Creates a database and its tables."""
    glue.create_database(DatabaseInput={"Name": database.name})
    for table in database.tables:
        glue.create_table(DatabaseName=database.name, TableInput=table.as_input())


def create_workgroup(workgroup: SandboxWorkgroup, athena: Any) -> None:
    """Creates a workgroup; that of every account, primary, gets its location."""
    location = workgroup.output_location
    result = {"ResultConfiguration": {"OutputLocation": location}} if location else {}
    if workgroup.name != "primary":
        athena.create_work_group(Name=workgroup.name, Configuration=result)
    elif location:
        changes = {"ResultConfigurationUpdates": {"OutputLocation": location}}
        athena.update_work_group(WorkGroup="primary", ConfigurationUpdates=changes)
