"""Metrics, lineage and traces of a run, each an observer with an extra of its own.

A library is imported if the spec asks for it, and by one module alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rolerunner.common.extras import list_packages
from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from rolerunner.events import Observer
    from rolerunner.model import Telemetry


def create_observers(telemetry: Telemetry, traceparent: str = "") -> list[Observer]:
    """Returns the observers that a spec asks for.

    ``traceparent`` is the W3C trace context of the caller. Raises UsageError if a package is not
    installed.
    """
    observers: list[Observer] = []
    if telemetry.emf is not None:
        observers.append(_import_module("metrics", "emf").EmfMetrics(telemetry.emf))
    if telemetry.openlineage is not None:
        module = _import_module("lineage", "openlineage")
        observers.append(module.OpenLineageEvents(telemetry.openlineage))
    if telemetry.otlp is not None:
        module = _import_module("traces", "otlp")
        observers.append(module.OtlpTraces(telemetry.otlp, traceparent))
    return observers


def _import_module(extra: str, name: str) -> ModuleType:
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError as error:
        packages = list_packages(extra)
        verb = "are" if len(packages) > 1 else "is"
        raise UsageError(
            f"'{extra}' of 'telemetry' needs {' and '.join(packages)}, which {verb} not installed "
            f"({error}); install with: pip install 'rolerunner[{extra}]'; a Glue job gets it by "
            "'rolerunner deploy'"
        ) from None
