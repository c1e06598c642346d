"""The names with which other packages define actions of their own; they are stable."""

from rolerunner.actions.base import (
    Action,
    Field,
    OutputsWithWarning,
    StepContext,
    handle_empty_source,
)
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.functions import FunctionContext
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.permissions import (
    list_permission,
    object_permission,
    source_permissions,
)
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.requests import request_each
from rolerunner.actions.shared_fields import (
    DistributionFields,
    ObjectsField,
    OnEmpty,
    RequestFields,
    TransferFields,
)
from rolerunner.actions.source_objects import SourceObjects, collect_source
from rolerunner.errors import StepError
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList
from rolerunner.spec.field_types import (
    Bytes,
    Flag,
    Integer,
    LocalPath,
    S3Location,
    S3Object,
    Seconds,
    Text,
)
from rolerunner.storage.protocol import ObjectInfo

__all__ = [
    "EMPTY_LIST",
    "Action",
    "Bytes",
    "DistributionFields",
    "Field",
    "FilterFields",
    "Flag",
    "FunctionContext",
    "Integer",
    "LocalPath",
    "ObjectInfo",
    "ObjectList",
    "ObjectsField",
    "OnEmpty",
    "OutputsWithWarning",
    "Permission",
    "PutFields",
    "RequestFields",
    "S3Location",
    "S3Object",
    "S3Uri",
    "Seconds",
    "SourceObjects",
    "StepContext",
    "StepError",
    "Text",
    "TransferFields",
    "collect_source",
    "handle_empty_source",
    "list_permission",
    "object_permission",
    "record_outcomes",
    "request_each",
    "source_permissions",
]
