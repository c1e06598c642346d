"""Fields that actions on objects share: sources, requests, transfers, distribution."""

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import (
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from rolerunner.actions.base import Field
from rolerunner.actions.objects_from import ObjectsFrom
from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import register_credential
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.field_types import (
    DYNAMIC,
    NAMES_ROLE,
    Account,
    Allowed,
    Flag,
    Rate,
    S3Location,
    StrictModel,
    json_form,
)
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access


def _validate_objects(value: Any, inner: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    if isinstance(value, dict):
        return ObjectsFrom.model_validate(value, context=info.context)
    if isinstance(value, list):
        value = [S3Uri.parse(each) if isinstance(each, str) else each for each in value]
    return inner(value)


ObjectsField = Annotated[
    Union[
        Annotated[
            Union[ObjectList, list[S3Uri]],
            json_form(type="array", items={"type": "string"}),
        ],
        ObjectsFrom,
        None,
    ],
    WrapValidator(_validate_objects),
    NAMES_ROLE,
]
"""Objects that another step listed, a list of s3:// URIs, or a file that lists objects."""
OnEmpty = Annotated[Literal["error", "warn", "ok"], DYNAMIC]
MaxDelete = Annotated[int, Field(ge=1), DYNAMIC]


class SourceFields(StrictModel):
    """Fields that name the objects of a step."""

    source: Optional[S3Location] = Field(
        None,
        description="An object, or a prefix that ends with '/'.",
        examples=["s3://landing/orders/"],
    )
    objects: ObjectsField = Field(
        None,
        description=(
            "Objects that another step listed, a list of s3:// URIs, or a file that lists "
            "objects; instead of source."
        ),
        examples=["${{ steps.find.objects }}"],
    )
    on_empty: OnEmpty = Field(
        "error",
        description="What to do when nothing matches: error, warn or ok.",
        examples=["ok"],
    )

    @property
    def source_name(self) -> str:
        """The source in messages."""
        return str(self.source or "the listed objects")


class RequestFields(StrictModel):
    """Fields that describe the requests to S3."""

    request_payer: Flag = Field(
        False,
        description="Pay for the requests to a requester-pays bucket.",
        examples=[True],
    )
    expected_bucket_owner: Optional[Account] = Field(
        None,
        description="The account that must own the bucket; otherwise S3 refuses the requests.",
        examples=["111122223333"],
    )

    def access(self, *, owner: Optional[str] = None, customer_key: Optional[str] = None) -> Access:
        """For the engine."""
        return Access(
            self.request_payer,
            owner or self.expected_bucket_owner or "",
            register_credential(customer_key) if customer_key else "",
        )


class DistributionFields(StrictModel):
    """Fields that distribute the work over machines."""

    distribute: Optional[Annotated[Literal["spark", "auto"], DYNAMIC]] = Field(
        None,
        description=(
            "spark: distribute the objects over the executors of a Spark job, which "
            "assume the roles themselves. auto: do so if that is quicker than this machine alone."
        ),
        examples=["spark", "auto"],
    )


class TransferFields(RequestFields):
    """Fields that limit the speed of a transfer and the number of its failures."""

    max_failures: Allowed = Field(
        0,
        description=(
            "Maximum number (or percentage) of objects that may fail; the step then "
            "ends as warning."
        ),
        examples=[3, "1%"],
    )
    max_requests_per_second: Optional[Annotated[int, Field(ge=1), DYNAMIC]] = Field(
        None, description="Maximum number of requests per second, over all threads.", examples=[500]
    )
    bandwidth: Optional[Rate] = Field(
        None,
        description="Maximum number of bytes per second, over all threads.",
        examples=["50MB/s"],
    )

    def flow(self) -> Pacer:
        """For the engine."""
        return Pacer(requests_per_second=self.max_requests_per_second, bandwidth=self.bandwidth)

    def may_fail(self, total: int) -> int:
        """Returns how many of ``total`` objects may fail."""
        limit = self.max_failures
        return total * int(limit[:-1]) // 100 if isinstance(limit, str) else limit
