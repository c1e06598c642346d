"""Fetches the deployed script of a job and its packages for a run in the sandbox."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from botocore.exceptions import ClientError

from rolerunner.errors import SandboxError
from rolerunner.glue.rehearsal.installation import ZIP_OF_WHEELS
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.glue.rehearsal.sandboxed_run import SandboxedRun

_PACKAGES = ("--additional-python-modules", "--extra-py-files")


@dataclass(frozen=True)
class ScriptFiles:
    """The script of a job on this machine, and what it imports."""

    script: Path
    installation: Path
    """The folder of the unpacked wheels, which comes last on the path."""
    code: tuple[Path, ...]
    """Spark: archives that come first on the path."""


def fetch_files(run: SandboxedRun, s3: Any, folder: Path) -> ScriptFiles:
    """Downloads the script and its packages, as the job's role. Raises SandboxError."""
    # the folder's name tells the script that it is in Python Shell
    script = folder / "glue-python-scripts-sandbox" / "run_spec.py"
    installation, downloads = folder / "installation", folder / "downloads"
    for path in (script.parent, installation, downloads):
        path.mkdir()
    _download(s3, run.job["Command"]["ScriptLocation"], script)
    archives = []
    for number, location in enumerate(_list_locations(run.arguments)):
        path = downloads / str(number) / Path(location).name
        path.parent.mkdir()
        _download(s3, location, path)
        if path.name.endswith(ZIP_OF_WHEELS):
            _unpack_wheels(path, installation)
        elif path.suffix == ".whl":
            _unpack_wheel(path, installation)
        else:
            archives.append(path)
    return ScriptFiles(script, installation, tuple(archives))


def _list_locations(arguments: Mapping[str, str]) -> Iterator[str]:
    for name in _PACKAGES:
        named = (each.strip() for each in arguments.get(name, "").split(","))
        yield from (each for each in named if each.startswith("s3://"))


def _unpack_wheels(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as wheels:
        for name in wheels.namelist():
            if name.endswith(".whl"):
                _unpack_wheel(io.BytesIO(wheels.read(name)), target)


def _unpack_wheel(wheel: Union[Path, io.BytesIO], target: Path) -> None:
    """Unpacks a wheel without rolerunner, which is the one of this interpreter.

    What this interpreter has comes from it; the runtime's compiled packages would not load.
    """
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if not name.startswith("rolerunner/")]
        file.extractall(target, names)


def _download(s3: Any, location: str, path: Path) -> None:
    uri = S3Uri.parse(location)
    try:
        path.write_bytes(s3.get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read())
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise SandboxError(f"{location} cannot be read under the job's role: {code}") from None
