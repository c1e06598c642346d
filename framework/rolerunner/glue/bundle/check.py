"""Renders what Glue would install of a bundle, where, and which of its own packages that hides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.common.wording import align_columns
from rolerunner.glue.bundle.locked_wheels import normalize_name
from rolerunner.glue.bundle.runtime_packages import BOTO3_PACKAGES, read_runtime_packages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.bundle.builder import Bundle, Package
    from rolerunner.glue.bundle.runtime_packages import RuntimePackage
    from rolerunner.glue.launch.runtime import Runtime

_PYTHON_SHELL = (
    "pip install --target GLUE_INSTALLATION, which the entry script puts first on sys.path"
)
_SPARK = "pip install --no-index on every machine, into its site-packages"
_HEADER = ("package", "version", "installed bytes", "from", "instead of the runtime's")


def render_check(bundle: Bundle, runtime: Runtime) -> str:
    """Returns the files, the packages in them and what comes from the runtime, as text."""
    there = read_runtime_packages(runtime)
    lines = [f"{runtime.name}: Python {runtime.python}, boto3 {runtime.boto3}", ""]
    for name in bundle.modules:
        size = (bundle.folder / name).stat().st_size
        lines += [f"{name}: {size:,} bytes", f"  {_SPARK if runtime.is_spark else _PYTHON_SHELL}"]
    rows = [_HEADER, *(_render_row(each, there) for each in bundle.packages)]
    provided = {**{name: there[name].version for name in BOTO3_PACKAGES}, **bundle.provided}
    used = ", ".join(f"{name} {version}" for name, version in sorted(provided.items()))
    return "\n".join([*lines, "", *align_columns(rows), "", f"from the runtime: {used}"])


def _render_row(
    package: Package, there: Mapping[str, RuntimePackage]
) -> tuple[str, str, str, str, str]:
    replaced = package.replaces
    if replaced and not there[normalize_name(package.name)].is_listed:
        replaced += " (assumed)"
    return package.name, package.version, f"{package.size:,}", package.source, replaced
