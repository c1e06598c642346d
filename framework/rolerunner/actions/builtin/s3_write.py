"""Defines the action ``s3.write``."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, ClassVar, Optional

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.object_plans import ObjectPlan, Report
from rolerunner.actions.object_values import Header
from rolerunner.actions.permissions import object_permission
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.shared_fields import RequestFields
from rolerunner.common.json_values import check_json, json_text
from rolerunner.errors import StepError
from rolerunner.model import Permission
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.field_types import DYNAMIC, Flag, S3Object, Text


class S3Write(PutFields, RequestFields, Action):
    """Write a small object from the spec, such as a marker, a manifest or a summary.

    With ``if_none_match: true`` it is written only if no such object exists, with ``if_match`` only
    over an object with a known ETag. S3 itself checks the condition, so two jobs cannot both
    succeed.
    """

    kind: ClassVar[str] = "s3.write"
    stores_objects: ClassVar[bool] = True
    content_fields: ClassVar[tuple[str, ...]] = ("text", "json")
    example: ClassVar[Mapping[str, Any]] = {"text": "done"}
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "object": "the s3:// URI of the object",
        "bytes": "its size",
        "etag": "its ETag",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "object": "s3://bucket/key",
        "bytes": 1,
        "etag": "d41d8cd98f00b204e9800998ecf8427e",
    }

    target: S3Object = Field(
        description="The object to write.", examples=["s3://publish/orders/_SUCCESS"]
    )
    text: Optional[Text] = Field(
        None, description="The text to store, in UTF-8.", examples=["${{ run.id }}"]
    )
    data: Annotated[Any, DYNAMIC] = Field(
        None,
        alias="json",
        description="A value to store as JSON; instead of text.",
        examples=[{"count": "${{ steps.find.count }}"}],
    )
    if_none_match: Flag = Field(
        False, description="Write only if no such object exists.", examples=[True]
    )
    if_match: Optional[Header] = Field(
        None,
        description="Write only if the object has this ETag.",
        examples=["${{ steps.mark.etag }}"],
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Write":
        if (self.text is None) == ("data" not in self.model_fields_set):
            raise ValueError("'s3.write' takes either 'text' or 'json'")
        if self.if_none_match is True and self.if_match is not None:
            raise ValueError("'if_none_match' and 'if_match' exclude each other")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Sends one PutObject."""
        is_text = self.text is not None
        conditions = {
            "IfNoneMatch": "*" if self.if_none_match else None,
            "IfMatch": f'"{self.if_match}"' if self.if_match else None,
        }
        options = {
            "ContentType": "text/plain; charset=utf-8" if is_text else "application/json",
            **self.put_options(),
            **{name: value for name, value in conditions.items() if value},
        }
        info = context.storage(access=self.access(customer_key=self.stored_key)).write(
            self.target, self._encode_body(), options, repeated=context.is_retry
        )
        return {"object": str(self.target), "bytes": info.size, "etag": info.etag}

    def _encode_body(self) -> bytes:
        """Returns the bytes to store. Raises StepError if the value has no such form."""
        try:
            return (
                self.text.encode()
                if self.text is not None
                else (json_text(_json_form(self.data)) + "\n").encode()
            )
        except UnicodeEncodeError as error:
            message = (
                f"the text for {self.target} has half of a surrogate pair at character"
                f" {error.start}, which UTF-8 cannot represent"
            )
            raise StepError(
                message, hint="check where the text comes from", type="NotText"
            ) from None
        except (ValueError, RecursionError) as error:
            raise StepError(
                f"the value for {self.target} has no JSON form: {error}",
                hint="use null or text instead",
                type="NotJson",
            ) from None

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports the object."""
        del context
        is_conditional = self.if_none_match or self.if_match is not None
        reason = "if its condition holds" if is_conditional else "it is overwritten if it exists"
        report(ObjectPlan("send", str(self.target), reason))

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """PutObject; GetObject for if_match."""
        read = [object_permission("s3:GetObject", self.target)] if self.if_match else []
        return {"role": [*self.put_permissions(self.target, multipart=False), *read]}


def _json_form(value: Any) -> Any:
    """Returns the value as plain JSON: dates in ISO 8601, lists of objects as their summary.

    Raises ValueError if the value has no JSON form.
    """
    if isinstance(value, dict):
        return {key: _json_form(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_form(each) for each in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, ObjectList):
        return value.summary()
    plain = value if value is None or isinstance(value, (str, int, float)) else str(value)
    check_json(plain)
    return plain
