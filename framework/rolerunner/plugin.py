"""What a package needs that offers actions of its own: these names stay."""

from rolerunner.actions.base import (
    Action,
    Field,
    OutputsWithWarning,
    StepContext,
    handle_empty_source,
)
from rolerunner.actions.objects import (
    DistributionFields,
    FilterFields,
    ObjectsField,
    RequestFields,
    TransferFields,
    collect_source,
    record_outcomes,
)
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.python_call import FunctionContext
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
