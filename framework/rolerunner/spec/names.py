"""Names in a spec: ids of steps, aliases of roles, params."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from rolerunner.spec.field_types import json_form

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


def check_name(value: Any) -> Any:
    """Returns an id, alias or param name unchanged. Raises ValueError if it is not a name."""
    if isinstance(value, str) and not NAME.match(value):
        raise ValueError(
            f"'{value}' is not a name: a letter, then up to 63 letters, digits, '_' or '-'"
        )
    return value


Name = Annotated[
    str,
    BeforeValidator(check_name),
    json_form(type="string", pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$"),
]
