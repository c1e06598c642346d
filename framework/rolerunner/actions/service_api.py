"""Operations and shapes of AWS services, read from botocore's models."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from rolerunner.actions.secret_shapes import (
    hands_out_credentials,
)
from rolerunner.redaction.secrets import Secret
from rolerunner.spec.expressions import Template
from rolerunner.spec.values import format_suggestion


@lru_cache(maxsize=32)
def load_service_model(service: str) -> Any:
    """Returns the service's model, or the names of all services if it does not exist."""
    from botocore.model import ServiceModel  # noqa: PLC0415 - for aws.call alone

    from rolerunner.sessions.service_models import shared_loader  # noqa: PLC0415

    names = shared_loader().list_available_services("service-2")
    return (
        ServiceModel(shared_loader().load_service_model(service, "service-2"), service)
        if service in names
        else tuple(names)
    )


def find_output_shape(service: str, operation: str) -> Any:
    """Returns the shape of an operation's output; None without an output or operation."""
    model = load_service_model(service)
    return (
        None
        if isinstance(model, tuple) or operation not in model.operation_names
        else model.operation_model(operation).output_shape
    )


def to_api_name(service: str, operation: str) -> str:
    """Returns the API's name of an operation, which may be given by its name in boto3."""
    if not operation.islower():
        return operation
    from botocore import xform_name  # noqa: PLC0415

    model = load_service_model(service)
    names = () if isinstance(model, tuple) else model.operation_names
    return next((name for name in names if xform_name(name) == operation), operation)


def to_method_name(operation: str) -> str:
    """Returns boto3's name of an operation, as in ``list_buckets`` for ``ListBuckets``."""
    from botocore import xform_name  # noqa: PLC0415

    return str(xform_name(operation))


def find_iam_prefix(service: str) -> str:
    """Returns the service's signing name, which IAM uses unless the table has another one."""
    model = load_service_model(service)
    return service if isinstance(model, tuple) else str(model.signing_name)


def find_operation_errors(
    service: str, operation: str, parameters: Mapping[str, Any]
) -> Iterator[str]:
    """Yields what is wrong with a call, by the model of its service."""
    model = load_service_model(service)
    if isinstance(model, tuple):
        yield f"'service': there is no AWS service '{service}'" + format_suggestion(service, model)
        return
    if operation not in model.operation_names:
        yield f"'operation': {service} has no operation '{operation}'" + format_suggestion(
            operation, model.operation_names
        )
        return
    if hands_out_credentials(service, operation, model.operation_model(operation).output_shape):
        yield (
            f"'operation': {operation} returns credentials, which steps do not need:"
            " use 'role', or call it in your own function"
        )
        return
    shape = model.operation_model(operation).input_shape
    if shape is not None:
        yield from _find_value_errors(parameters, shape, "parameters")
    elif parameters:
        yield f"'parameters': {operation} has no parameters"


_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "character": (str,), "integer": (int,), "long": (int,),
    "float": (int, float), "double": (int, float), "boolean": (bool,),
    "list": (list, tuple), "map": (Mapping,), "structure": (Mapping,),
    "timestamp": (str, int, float, date, datetime), "blob": (str, bytes),
}  # fmt: skip
_TYPE_NAMES = {
    "string": "text", "integer": "a whole number", "long": "a whole number",
    "float": "a number", "double": "a number", "boolean": "true or false",
    "list": "a list", "map": "a mapping", "structure": "a mapping",
    "timestamp": "a date or time", "blob": "text",
}  # fmt: skip


_TEXT_TYPES = ("string", "character", "blob", "timestamp")


def _find_value_errors(value: Any, shape: Any, place: str) -> Iterator[str]:
    """Yields how a value differs from the shape; an expression fits any shape."""
    if isinstance(value, Template) or getattr(shape, "is_document_type", False):
        return
    expected = _TYPE_NAMES.get(shape.type_name, shape.type_name)
    if isinstance(value, Secret):
        if shape.type_name not in _TEXT_TYPES:
            yield f"'{place}' must be {expected}, not a secret text"
        return
    kinds = _PYTHON_TYPES.get(shape.type_name, (object,))
    if not _has_type(value, kinds):
        yield f"'{place}' must be {expected}, not {value!r}"
    elif shape.type_name == "structure":
        yield from _find_member_errors(value, shape, place)
    elif shape.type_name == "list":
        for index, each in enumerate(value):
            yield from _find_value_errors(each, shape.member, f"{place}[{index}]")
    elif shape.type_name == "map":
        for key, each in value.items():
            yield from _find_value_errors(each, shape.value, f"{place}.{key}")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"'{place}' cannot be '{value}'" + format_suggestion(value, shape.enum)
    elif shape.type_name == "timestamp" and isinstance(value, str) and not _is_timestamp(value):
        yield f"'{place}' must be a date or time such as 2026-01-31T06:00:00Z, not '{value}'"


def _is_timestamp(text: str) -> bool:
    """Returns True if botocore can read the text as a date and time."""
    from botocore.utils import parse_timestamp  # noqa: PLC0415 - few calls have one

    try:
        parse_timestamp(text)
    except (ValueError, OverflowError):
        return False
    return True


def _has_type(value: Any, kinds: tuple[type, ...]) -> bool:
    """Returns True if the value has one of the types; booleans are not numbers."""
    return isinstance(value, kinds) and not (
        isinstance(value, bool) and bool not in kinds and object not in kinds
    )


def _find_member_errors(value: Mapping[str, Any], shape: Any, place: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield f"'{place}' needs '{name}'"
    for name, each in value.items():
        member = shape.members.get(name)
        if member is None:
            yield f"'{place}' has no '{name}'" + format_suggestion(name, tuple(shape.members))
        else:
            yield from _find_value_errors(each, member, f"{place}.{name}")
