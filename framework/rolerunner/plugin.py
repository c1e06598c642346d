"""What a package needs that offers actions of its own: these names stay."""

from rolerunner.actions.base import Action, Field, StepContext, Warned, nothing_there
from rolerunner.actions.objects import (
    Chosen,
    Moving,
    ObjectsField,
    Reaching,
    Spreading,
    gather,
    transfer,
)
from rolerunner.actions.permissions import listing, on_objects
from rolerunner.actions.put_options import Stored
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
    "Chosen",
    "Field",
    "Flag",
    "FunctionContext",
    "Integer",
    "LocalPath",
    "Moving",
    "ObjectList",
    "ObjectsField",
    "Permission",
    "Reaching",
    "S3Location",
    "S3Object",
    "S3Uri",
    "Seconds",
    "Spreading",
    "StepContext",
    "StepError",
    "Stored",
    "Text",
    "Warned",
    "gather",
    "listing",
    "nothing_there",
    "on_objects",
    "transfer",
]
