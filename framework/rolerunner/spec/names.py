"""Names in a spec: ids of steps, aliases of roles, params."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from rolerunner.spec.field_types import json_form

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


def check_name(value: Any) -> Any:
    """An id, alias or param name. Raises ValueError."""
    if isinstance(value, str) and not NAME.match(value):
        raise ValueError(
            f"'{value}' is not a name: a letter, then letters, digits, '_' or '-', 64 in all at most"
        )
    return value


Name = Annotated[
    str,
    BeforeValidator(check_name),
    json_form(type="string", pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$"),
]
