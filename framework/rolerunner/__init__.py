"""rolerunner: YAML job specs whose steps each run under their own IAM role."""

from typing import TYPE_CHECKING, Any

from rolerunner._version import __version__

if TYPE_CHECKING:
    from rolerunner.api import load, plan, run

__all__ = ["__version__", "load", "plan", "run"]


def __getattr__(name: str) -> Any:
    """What the library offers, imported when it is asked for: ``rolerunner --help`` needs none of it, and it takes 100 ms."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from rolerunner import api  # noqa: PLC0415 - see above

    return getattr(api, name)
