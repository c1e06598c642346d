"""What a package needs that offers actions of its own: these names stay."""

from rolerunner.actions.base import (
    Action,
    Field,
    OutputsWithWarning,
    StepContext,
    handle_empty_source,
)
from rolerunner.actions.functions import FunctionContext
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.shared_fields import (
    DistributionFields,
    FilterFields,
    ObjectsField,
    RequestFields,
    TransferFields,
)
from rolerunner.actions.source_objects import collect_source
from rolerunner.errors import StepError
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.fields import (
    Bytes,
    Flag,
    Integer,
    LocalPath,
    S3Location,
    S3Object,
    Seconds,
    Text,
)

__all__ = [
    "Action",
    "Bytes",
    "DistributionFields",
    "Field",
    "FilterFields",
    "Flag",
    "FunctionContext",
    "Integer",
    "LocalPath",
    "ObjectList",
    "ObjectsField",
    "OutputsWithWarning",
    "Permission",
    "PutFields",
    "RequestFields",
    "S3Location",
    "S3Object",
    "S3Uri",
    "Seconds",
    "StepContext",
    "StepError",
    "Text",
    "TransferFields",
    "collect_source",
    "handle_empty_source",
    "list_permission",
    "object_permission",
    "record_outcomes",
]
