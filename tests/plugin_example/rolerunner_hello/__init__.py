"""An action of another package: counts objects by the first letter of their names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional

from rolerunner.plugin import Action, Field, Permission, S3Location, StepContext, list_permission


class HelloCount(Action):
    """Count the objects of a prefix by the first letter of their names."""

    kind: ClassVar[str] = "hello.count"
    outputs: ClassVar[Optional[Mapping[str, str]]] = {"letters": "letter -> how many"}
    samples: ClassVar[Mapping[str, Any]] = {"letters": {"a": 1}}

    source: S3Location = Field(description="The prefix.", examples=["s3://landing/orders/"])

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists the prefix."""
        names = (info.key.rsplit("/", 1)[-1] for info in context.storage().list(self.source))
        return {"letters": dict(Counter(name[:1] for name in names))}

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """ListBucket under the prefix."""
        return {"role": [list_permission(self.source)]}
