"""Defines the action ``s3.read``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Optional

from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.object_plans import ObjectPlan, Report
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.shared_fields import RequestFields
from rolerunner.common.json_values import read_json
from rolerunner.errors import StepError
from rolerunner.model import Permission
from rolerunner.spec.field_types import DYNAMIC, Bytes, CustomerKey, S3Object, Text


class S3Read(RequestFields, Action):
    """Read a small text or JSON object, such as a marker or a manifest, into an output."""

    kind: ClassVar[str] = "s3.read"
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "text": "the content as text",
        "json": "the content as a value; null if it is read as text",
        "bytes": "its size",
    }
    samples: ClassVar[Mapping[str, Any]] = {"text": "text", "bytes": 1}

    source: S3Object = Field(
        description="The object to read.", examples=["s3://landing/orders/_MANIFEST.json"]
    )
    version: Optional[Text] = Field(
        None, description="The version to read.", examples=["3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"]
    )
    format: Annotated[Literal["auto", "text", "json"], DYNAMIC] = Field(
        "auto",
        description=(
            "json: the object must be JSON. auto: it is read as JSON if its key ends with .json."
        ),
        examples=["json"],
    )
    max_bytes: Bytes = Field(
        1 << 20,
        description="Maximum size; a larger object is an error.",
        examples=["100KiB"],
    )
    customer_key: Optional[CustomerKey] = Field(
        None,
        description="The SSE-C key of the object in base64, preferably from a param.",
        examples=["${{ params.customer_key }}"],
    )

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Sends one GetObject."""
        storage = context.storage(access=self.access(customer_key=self.customer_key))
        data = storage.read(self.source, self.max_bytes, self.version or "")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise StepError(
                f"{self.source}: not UTF-8 text (at byte {error.start})",
                hint="use s3.download for other files",
                type="NotText",
            ) from None
        is_json = self.format == "json" or (
            self.format == "auto" and self.source.key.endswith(".json")
        )
        return {
            "text": text,
            "json": self._parse_json(text) if is_json else None,
            "bytes": len(data),
        }

    def _parse_json(self, text: str) -> Any:
        try:
            return read_json(text)
        except ValueError as error:
            raise StepError(
                f"{self.source}: not JSON: {error}",
                hint="set 'format: text' to read it as text",
                type="NotJson",
            ) from None

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports the object. Raises StepError if it does not exist."""
        storage = context.storage(access=self.access(customer_key=self.customer_key))
        info = storage.head(self.source, self.version or "")
        report(ObjectPlan("read", str(self.source), "it becomes an output", size=info.size))

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """GetObject, and ListBucket to distinguish a missing object from a refusal."""
        return {
            "role": [
                list_permission(self.source),
                object_permission(
                    "s3:GetObjectVersion" if self.version else "s3:GetObject", self.source
                ),
            ]
        }
