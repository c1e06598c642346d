"""``athena.query`` against botocore's model of Athena: its options and permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY

from rolerunner.actions.builtin.athena_query import AthenaQuery
from tests.unit.actions.stubbed import StubbedService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LOOK = {"QueryExecutionId": "q1"}
START = {"QueryString": "SELECT 1", "ClientRequestToken": ANY, "WorkGroup": "primary"}


@pytest.fixture
def athena() -> Iterator[StubbedService]:
    service = StubbedService("athena")
    with service.stub:
        yield service
        service.stub.assert_no_pending_responses()


def create_action(**fields: Any) -> AthenaQuery:
    values = {"query": "SELECT 1", "interval": 0.01, "max_rows": 0, **fields}
    return AthenaQuery.model_validate(values)


def add_state(athena: StubbedService, state: str, **more: Any) -> None:
    execution = {"QueryExecutionId": "q1", "Status": {"State": state, **more}}
    athena.stub.add_response("get_query_execution", {"QueryExecution": execution}, LOOK)


def test_all_options_are_sent(athena: StubbedService, tmp_path: Path) -> None:
    sent = {
        **START, "WorkGroup": "reports",
        "QueryExecutionContext": {"Database": "sales", "Catalog": "AwsDataCatalog"},
        "ResultConfiguration": {
            "OutputLocation": "s3://results/q/", "ExpectedBucketOwner": "111122223333",
            "EncryptionConfiguration": {"EncryptionOption": "SSE_KMS", "KmsKey": "alias/a"},
        },
        "ExecutionParameters": ["'it''s'", "3", "1.5", "true", "NULL"],
        "ResultReuseConfiguration": {
            "ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": 60}
        },
    }  # fmt: skip
    athena.stub.add_response("start_query_execution", {"QueryExecutionId": "q1"}, sent)
    add_state(athena, "SUCCEEDED")
    action = create_action(
        workgroup="reports", database="sales", catalog="AwsDataCatalog", kms_key="alias/a",
        output_location="s3://results/q/", expected_bucket_owner="111122223333",
        parameters=["it's", 3, 1.5, True, None], reuse_results="1h",
    )  # fmt: skip
    outputs = action.run(athena.create_context(tmp_path))
    assert (outputs["query_id"], outputs["result"], outputs["count"]) == ("q1", "", 0)
    assert len(outputs["objects"]) == 0  # the workgroup manages the result


def test_what_may_be_derived_and_what_not() -> None:
    def list_needed(**fields: Any) -> set[str]:
        needed = create_action(**fields).permissions()["role"]
        return {f"{each.action} {each.resource}" for each in needed}

    plain = list_needed()
    assert "athena:GetQueryResults arn:aws:athena:*:*:workgroup/primary" not in plain
    assert "glue:GetDatabase arn:aws:glue:*:*:database/default" in plain
    assert not [each for each in plain if each.startswith("s3:")]
    assert "glue:GetTable arn:aws:glue:*:*:table/sales/*" in list_needed(database="sales")
    other = list_needed(catalog="other", database="sales")
    assert "athena:GetDataCatalog arn:aws:athena:*:*:datacatalog/other" in other
    assert not [each for each in other if each.startswith("glue:")]
