"""``aws.call`` against botocore's models: names, expressions, polls and secret outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.aws_call import AwsCall
from rolerunner.errors import FieldError, StepError
from tests.unit.actions.stubbed import StubbedService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CRAWLER = {"service": "glue", "operation": "GetCrawler", "parameters": {"Name": "orders"}}


@pytest.fixture
def glue() -> Iterator[StubbedService]:
    service = StubbedService("glue")
    with service.stub:
        yield service
        service.stub.assert_no_pending_responses()


def create(**fields: Any) -> AwsCall:
    return AwsCall.model_validate({**CRAWLER, **fields})


def answer(glue: StubbedService, *states: str) -> None:
    for state in states:
        response = {"Crawler": {"Name": "orders", "State": state}}
        glue.stub.add_response("get_crawler", response, {"Name": "orders"})


def wait(**more: Any) -> dict[str, Any]:
    return {"expression": "Crawler.State == 'READY'", "interval": 0.01, **more}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"operation": "GetCrawlr"}, "GetCrawler"),
        ({"parameters": {"Nam": "x"}}, "Nam"),
        ({"select": "Crawler["}, "is not a JMESPath expression"),
        ({"max_items": 0}, "greater than or equal to 1"),
        ({"wait_until": {"expression": "x"}, "idempotent": False}, "'wait_until' repeats"),
    ],
)
def test_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create(**fields)


def test_the_name_of_boto3_is_that_of_the_api() -> None:
    assert create(operation="get_crawler").operation == "GetCrawler"


def test_the_response_is_the_outputs(glue: StubbedService, tmp_path: Path) -> None:
    answer(glue, "READY", "READY")
    outputs = create().run(glue.create_context(tmp_path))
    assert outputs["Crawler"]["State"] == "READY"
    selected = create(select="Crawler.State").run(glue.create_context(tmp_path))
    assert selected == {"result": "READY"}


def test_a_call_is_repeated_until_an_expression_is_true(
    glue: StubbedService, tmp_path: Path
) -> None:
    answer(glue, "RUNNING", "STOPPING", "READY")
    action = create(wait_until=wait(), select="{state: Crawler.State}")
    assert action.run(glue.create_context(tmp_path)) == {"state": "READY"}
    assert len(glue.recorded.progress) == 2


def test_a_wait_fails_at_once_or_after_its_time(glue: StubbedService, tmp_path: Path) -> None:
    answer(glue, "STOPPING", "RUNNING")
    failing = create(wait_until=wait(fails_if="Crawler.State == 'STOPPING'"))
    with pytest.raises(StepError, match="became true") as caught:
        failing.run(glue.create_context(tmp_path))
    assert caught.value.type == "WaitFailed"
    late = create(wait_until=wait(max_wait=0))
    with pytest.raises(StepError, match="not true after 0 s") as caught:
        late.run(glue.create_context(tmp_path))
    assert (caught.value.type, "raise 'max_wait'" in caught.value.hint) == ("WaitTimeout", True)


def test_an_expression_that_the_response_does_not_fit(glue: StubbedService, tmp_path: Path) -> None:
    answer(glue, "READY")
    with pytest.raises(FieldError, match=r"'abs\(Crawler.State\)'"):
        create(select="abs(Crawler.State)").run(glue.create_context(tmp_path))


def test_permissions_are_those_of_the_operation() -> None:
    assert [each.action for each in create().permissions()["role"]] == ["glue:GetCrawler"]


def test_parameters_may_be_secret_and_so_may_outputs_be() -> None:
    assert AwsCall.accepts_secret(("parameters", "Name"))
    assert not AwsCall.accepts_secret(("select",))
    secret = {"service": "secretsmanager", "operation": "GetSecretValue"}
    assert AwsCall.is_secret_output(secret, ("SecretString",))
    assert not AwsCall.is_secret_output(CRAWLER, ("Crawler", "State"))
