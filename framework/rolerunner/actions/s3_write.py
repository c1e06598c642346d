"""s3.write"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, ClassVar, Optional

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.put_options import Acl, Encryption, put_options, put_permissions
from rolerunner.model import Permission
from rolerunner.spec.fields import DYNAMIC, S3Object, Text
from rolerunner.storage.manifest import ObjectList


class S3Write(Action):
    """Write a small object from the spec: a marker, a manifest, a summary."""

    kind: ClassVar[str] = "s3.write"
    outputs: ClassVar[Optional[Mapping[str, str]]] = {"object": "the s3:// URI of the object", "bytes": "its size"}
    samples: ClassVar[Mapping[str, Any]] = {"object": "s3://bucket/key", "bytes": 1}

    target: S3Object = Field(description="The object to write.", examples=["s3://publish/orders/_SUCCESS"])
    text: Optional[Text] = Field(None, description="Its text, stored as UTF-8.", examples=["${{ run.id }}"])
    data: Annotated[Any, DYNAMIC] = Field(
        None, alias="json", description="A value, stored as JSON; instead of text.", examples=[{"count": "${{ steps.find.count }}"}]
    )
    content_type: Optional[Text] = Field(None, description="text/plain or application/json otherwise.", examples=["text/plain"])
    encryption: Optional[Encryption] = Field(
        None, description="Server-side encryption; the bucket's default otherwise.", examples=[{"type": "AES256"}]
    )
    acl: Acl = Field(None, description="A canned ACL.", examples=["bucket-owner-full-control"])

    @model_validator(mode="after")
    def _one_content(self) -> "S3Write":
        if (self.text is None) == ("data" not in self.model_fields_set):
            raise ValueError("'s3.write' takes either 'text' or 'json'")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """One PutObject."""
        is_text = self.text is not None
        body = self.text if is_text else json.dumps(self.data, default=_json_value, ensure_ascii=False, indent=2) + "\n"
        kind = self.content_type or ("text/plain; charset=utf-8" if is_text else "application/json")
        options = {**put_options(self.encryption, self.acl, None, {}, {}), "ContentType": kind}
        info = context.storage().write(self.target, (body or "").encode(), options)
        return {"object": str(self.target), "bytes": info.size}

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """PutObject."""
        return {"role": put_permissions(self.target, self.encryption, self.acl, {})}


def _json_value(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, ObjectList):
        return value.summary()
    return str(value)
