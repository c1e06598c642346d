"""The record that functions given to ``filter`` and ``map`` receive."""

from __future__ import annotations

from typing import Any

__all__ = ["DynamicRecord"]


class DynamicRecord(dict[str, Any]):
    """A record as a dictionary whose fields are attributes too: ``record["id"]``, ``record.id``."""

    def __getattr__(self, attr: str) -> Any:
        try:
            return self[attr]
        except KeyError:
            raise AttributeError(
                f"the record has no field '{attr}'; its fields are {', '.join(self)}"
            ) from None

    def __setattr__(self, attr: str, value: Any) -> None:
        self[attr] = value
