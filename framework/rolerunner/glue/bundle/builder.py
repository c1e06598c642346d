"""Builds a folder with everything that a Glue job needs to start offline, reproducibly."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner._version import __version__
from rolerunner.actions import registry
from rolerunner.actions.extras import find_required_extras
from rolerunner.actions.signatures import import_folders, is_path
from rolerunner.common.extras import read_requirements
from rolerunner.common.files import write_file
from rolerunner.common.wording import format_count
from rolerunner.errors import UsageError
from rolerunner.glue.bundle import archives, merge, wheels
from rolerunner.glue.bundle.locked_wheels import normalize_name, parse_name, parse_version
from rolerunner.glue.bundle.runtime_packages import read_runtime_packages
from rolerunner.glue.bundle.wheel_tools import PLATFORM
from rolerunner.model import GlueSettings
from rolerunner.spec.source import read_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rolerunner.glue.launch.runtime import Runtime
    from rolerunner.model import Job

MANIFEST = "manifest.json"
SCRIPT = "run_spec.py"
ZIP_OF_WHEELS = "wheels.gluewheels.zip"
"""Glue recognizes a zip of wheels by this suffix."""
_HASH = 16
"""Characters of a bundle's hash in the name of its folder: 64 bits."""


_SOURCES = ("rolerunner", "requirements", "code")


@dataclass(frozen=True)
class Package:
    """A distribution that a bundle installs, or a package of the user's own code."""

    name: str
    version: str
    """Empty for the user's own code."""
    source: str
    """rolerunner (itself or what it needs), requirements (those of ``glue``, and of the extras
    that the spec needs), or code (the user's own packages)."""
    size: int
    """Bytes of its files when they are installed."""
    replaces: str = ""
    """The runtime's own version, which it takes precedence over; empty if there is none."""


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle as relative paths."""

    folder: Path
    spec: str
    modules: tuple[str, ...]
    """A merged wheel, or a zip of wheels, that pip installs."""
    files: tuple[str, ...]
    hash: str
    """Hash of all names and contents; names the folder that the bundle is deployed to."""
    packages: tuple[Package, ...] = ()
    """The contents of ``modules``."""
    provided: Mapping[str, str] = field(default_factory=dict)
    """Packages that the requirements use and the runtime provides: versions by names."""

    def arguments(self, place: str, runtime: Runtime) -> dict[str, str]:
        """Returns the job arguments that locate the files below ``place``, a URI ending in /."""
        modules = ",".join(f"{place}{each}" for each in self.modules)
        locations = {"--job_spec": f"{place}{self.spec}"}
        if not runtime.is_spark:
            # Glue names library-set without dashes; with them it may be taken for none
            return {**locations, "--extra-py-files": modules, "library-set": "analytics"}
        return {
            **locations,
            "--additional-python-modules": modules,
            "--python-modules-installer-option": "--no-index",
        }

    def describe_size(self) -> str:
        """Returns the number of files, their size, and what is installed by where it comes from."""
        total = sum((self.folder / each).stat().st_size for each in self.files)
        sizes = {
            source: sum(each.size for each in self.packages if each.source == source)
            for source in _SOURCES
        }
        parts = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items() if size)
        return f"{format_count(len(self.files), 'file')}, {total / 1e6:.1f} MB (installed: {parts})"


def build_bundle(
    job: Job, runtime: Runtime, target: Path, tell: Callable[[str], None] = lambda _: None
) -> Bundle:
    """Builds the bundle of a local spec into ``target`` atomically. Raises UsageError."""
    if job.file.startswith("s3://"):
        raise UsageError(f"{job.file}: a bundle is made of a spec on this machine")
    if target.exists() and (
        not target.is_dir() or (any(target.iterdir()) and not (target / MANIFEST).is_file())
    ):
        raise UsageError(f"{target}: exists and is not a bundle; nothing was written")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            built = _build_files(job, runtime, Path(folder) / "bundle", tell)
            shutil.rmtree(target, ignore_errors=True)
            built.folder.replace(target)
    except OSError as error:  # of the folder, the cache of wheels, or a file that is to be shipped
        raise UsageError(f"the bundle cannot be built: {error}") from None
    return replace(built, folder=target)


def _build_files(job: Job, runtime: Runtime, folder: Path, tell: Callable[[str], None]) -> Bundle:
    settings = job.glue or GlueSettings()
    _check_actions(job, settings)
    spec = Path(job.file).resolve()
    code = _read_code(job, settings, spec.parent)
    tell(f"wheels for Python {runtime.python} on {PLATFORM}")
    requirements = [*_require_extras(job, tell), *settings.requirements]
    fetched = wheels.fetch_wheels(runtime, requirements, spec.parent)
    own = {**_read_files(fetched.locked), **dict([archives.make_own_wheel()])}
    required = _read_files(fetched.required)
    code_wheel = dict([archives.make_wheel(f"{job.name}-code", "0", code)]) if code else {}
    found = {**own, **required, **code_wheel}
    merge.check_conflicts(found, code_wheel)
    parts = _pack_wheels(found, runtime)
    specs = dict(_read_specs(spec))
    files = {
        **parts,
        **specs,
        SCRIPT: (Path(__file__).parents[1] / "launch" / SCRIPT).read_bytes(),
    }
    for name, data in files.items():
        write_file(folder / name, data)
    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in sorted(files.items())
    }
    digest = hashlib.sha256(json.dumps([runtime.name, listed]).encode()).hexdigest()[:_HASH]
    bundle = Bundle(
        folder,
        next(iter(specs)),
        tuple(parts),
        tuple(sorted(files)),
        digest,
        tuple(_list_contents({"rolerunner": own, "requirements": required}, code, runtime)),
        fetched.provided,
    )
    write_file(folder / MANIFEST, _render_manifest(job, runtime, bundle, listed))
    return bundle


def _require_extras(job: Job, tell: Callable[[str], None]) -> Iterator[str]:
    """Yields the requirements of the extras that the spec needs, and tells of each extra."""
    for extra in find_required_extras(job):
        packages = read_requirements(extra.name)
        tell(f"extra '{extra.name}', needed by {extra.feature}: {', '.join(packages)}")
        yield from packages


def _read_files(paths: Iterable[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


def _list_contents(
    by_source: Mapping[str, Mapping[str, bytes]], code: Mapping[str, bytes], runtime: Runtime
) -> Iterator[Package]:
    there = {each.name: each.version for each in read_runtime_packages(runtime).values()}
    for source, found in by_source.items():
        for file, data in found.items():
            name, version = parse_name(Path(file)), parse_version(Path(file))
            size = archives.measure_unpacked(data)
            yield Package(name, version, source, size, there.get(name, ""))
    for name in dict.fromkeys(path.partition("/")[0] for path in code):
        size = sum(len(data) for path, data in code.items() if path.partition("/")[0] == name)
        module = name.partition(".")[0]
        replaced = there.get(normalize_name(module), "")
        yield Package(module, "", "code", size, replaced)


def _render_manifest(job: Job, runtime: Runtime, bundle: Bundle, files: Mapping[str, Any]) -> bytes:
    manifest_fields = {
        "version": 1,
        "job": job.name,
        **({"environment": job.environment} if job.environment else {}),
        "runtime": runtime.name,
        "python": runtime.python,
        "hash": bundle.hash,
        "spec": bundle.spec,
        "script": SCRIPT,
        "modules": bundle.modules,
        "packages": [asdict(each) for each in bundle.packages],
        "provided": bundle.provided,
        "files": files,
    }
    return (json.dumps(manifest_fields, indent=2) + "\n").encode()


def _pack_wheels(found: Mapping[str, bytes], runtime: Runtime) -> dict[str, bytes]:
    """Returns path -> bytes of one merged wheel, or of a zip of wheels where Glue takes one."""
    if not runtime.zip_of_wheels:
        tag = f"{runtime.tag}-{runtime.tag}-{PLATFORM}"
        name, data = merge.merge_wheels(found, __version__.replace("-", "_"), tag)
        return {f"wheels/{name}": data}
    wanted = "".join(f"{parse_name(path)}=={parse_version(path)}\n" for path in map(Path, found))
    return {
        ZIP_OF_WHEELS: archives.make_zip(
            {
                "wheels/requirements.txt": wanted.encode(),
                **{f"wheels/{name}": data for name, data in found.items()},
            }
        )
    }


def _read_specs(spec: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the spec and its includes, with their relative positions preserved."""
    included = [
        (spec.parent / name).resolve() for name in read_mapping(str(spec)).get("include") or ()
    ]
    top = Path(os.path.commonpath([path.parent for path in (spec, *included)]))
    for path in (spec, *included):
        yield f"spec/{path.relative_to(top).as_posix()}", path.read_bytes()


def _read_code(job: Job, settings: GlueSettings, project: Path) -> dict[str, bytes]:
    """Returns path -> bytes of the user's packages; pip installs them on every machine."""
    files: dict[str, bytes] = {}
    for package in _list_packages(job, settings, project):
        found = archives.iter_files(package) if package.is_dir() else [("", package.read_bytes())]
        files.update({f"{package.name}/{path}".rstrip("/"): data for path, data in found})
    return files


def _check_actions(job: Job, settings: GlueSettings) -> None:
    """Raises UsageError for a plugin action whose package is not in the requirements."""
    for step in job.action_steps:
        package = registry()[step.action].__module__.partition(".")[0]
        if package != "rolerunner" and not settings.requirements:
            raise UsageError(
                f"'{step.action}' (step '{step.id}') comes with the package {package}: "
                "name it under 'requirements' in the glue section"
            )


def _list_packages(job: Job, settings: GlueSettings, project: Path) -> list[Path]:
    """Returns the folders and modules to ship: those that the spec and its functions name."""
    found = {(project / name).resolve(): None for name in settings.packages}
    absent = next((path for path in found if not path.exists()), None)
    if absent is not None:
        raise UsageError(f"there is no {absent}, which 'packages' under 'glue' names")
    for step in job.action_steps:
        calls_user_code = registry()[step.action].calls_user_code
        function = step.fields.get("function") if calls_user_code else None
        if isinstance(function, str):
            path = _package_of(function, project)
            if path is not None:
                found[path] = None
            elif not settings.requirements and not any(
                each.name == function.split(".")[0] for each in found
            ):
                raise UsageError(
                    f"the module of '{function}' (step '{step.id}') is not beside the spec, "
                    "so it cannot be shipped: name its package"
                    " under 'packages' or 'requirements' in the spec's glue section"
                )
    return list(found)


def _package_of(function: str, project: Path) -> Optional[Path]:
    """Returns the top folder or module of a function; None if it is an installed package."""
    module = function.rpartition(":")[0]
    if is_path(module):
        raise UsageError(
            f"'{function}' cannot be shipped: name a module, "
            f"as in {Path(module).stem}:{function.rpartition(':')[2]}"
        )
    top = module.partition(".")[0]
    candidates = (
        folder / name for folder in import_folders(project) for name in (top, f"{top}.py")
    )
    return next(
        (
            path
            for path in candidates
            if path.is_file() or (path.is_dir() and any(path.glob("**/*.py")))
        ),
        None,
    )
