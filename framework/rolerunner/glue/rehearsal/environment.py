"""Makes virtual environments with the packages of a Glue runtime, once for each list of packages.

They are kept in the user's cache, so only the first rehearsal of a runtime downloads anything.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.errors import UsageError
from rolerunner.glue.rehearsal.interpreters import run_uv
from rolerunner.glue.rehearsal.package_lists import list_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolerunner.glue.launch.runtime import Runtime


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Returns its interpreter."""
        return self.folder / "bin/python"

    @property
    def packages(self) -> Path:
        """Returns the folder of its packages."""
        return next(iter(self.folder.glob("lib/python3*/site-packages")))


def provide_environment(
    runtime: Runtime,
    interpreter: Path,
    more: tuple[str, ...] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Environment:
    """Returns the cached environment of a runtime, with ``more`` packages; makes it if needed.

    Raises UsageError.
    """
    listed = list_packages(runtime, more)
    environment = Environment(cache_folder("runtimes") / f"{runtime.name}-{listed.hash}")
    if environment.python.exists():  # False as well where its interpreter was removed
        return environment
    tell(f"makes an environment with the {len(listed.packages)} packages of {runtime.name}, once")
    try:
        _make_environment(environment.folder, interpreter, listed.packages)
    except OSError as error:
        raise UsageError(f"the environment of {runtime.name} cannot be made: {error}") from None
    return environment


def layer_environment(base: Environment, folder: Path) -> Environment:
    """Returns an empty environment in ``folder`` that has the packages of another one behind it.

    pip takes those as installed, and what it installs comes before them on ``sys.path``.
    """
    run_uv(["venv", "--quiet", "--python", str(base.python), str(folder)])
    layer = Environment(folder)
    (layer.packages / "runtime.pth").write_text(f"{base.packages}\n", encoding="utf-8")
    return layer


def _make_environment(target: Path, interpreter: Path, packages: Sequence[str]) -> None:
    """Makes an environment atomically; another process may make the same one meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        made = Environment(Path(folder, "environment"))
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("\n".join(packages) + "\n", encoding="utf-8")
        run_uv(["venv", "--quiet", "--python", str(interpreter), str(made.folder)])
        # the lists are whole, and some contradict the metadata of their own packages
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--no-binary", "pyspark"]
        python = ["--python", str(made.python)]
        run_uv(["pip", "install", *options, *python, "--requirement", str(requirements)])
        if not Environment(target).python.exists():
            shutil.rmtree(target, ignore_errors=True)
        with suppress(OSError):  # another process was faster
            made.folder.replace(target)
    if not Environment(target).python.exists():
        raise UsageError(f"{target} is not an environment: remove it and try again")


def cache_folder(kind: str) -> Path:
    """Returns the folder in the user's cache for what rehearsals keep."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rolerunner" / kind
