"""The file by which other commands find a sandbox that ``rolerunner sandbox`` serves.

It lies in a folder of the temporary folder that only this user can read, since it holds the keys of
the sandbox's job. It is valid while the serving process lives and its emulator answers by name.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner.common.files import write_file
from rolerunner.errors import LocalFileFailed, SandboxError, UsageError
from rolerunner.sandbox import AdminClients, JobKeys, report_failures
from rolerunner.sandbox.profiles import render_profiles
from rolerunner.sandbox.server import ask_name
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.spec.values import format_suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.model import Role, S3Uri
    from rolerunner.sandbox import Sandbox


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox that another process of this user serves. Its repr shows no key."""

    spec: str
    """Absolute path, or s3:// URI, of the spec that it was filled for."""
    file: str
    """Absolute path of its sandbox file; "" if its contents were derived from the spec."""
    fingerprint: str
    """Digest of the spec and of the sandbox file as they were when it started."""
    endpoint: str
    region: str
    job_role: str
    """ARN of the role whose session ``job_identity`` has."""
    job_keys: JobKeys
    admin_keys: JobKeys
    """Keys of the administrator of the job's account."""
    accounts: tuple[str, ...]
    """Accounts of its roles and buckets."""
    config_file: str
    """Path of a configuration file for AWS tools, with a profile for each role of the spec."""
    server: str
    """Name that the emulator answers with, which no other server has."""
    pid: int
    """Id of the serving process."""
    started: str
    """Start time of the serving process, to recognise a reused id; "" where it is unknown."""

    def job_identity(self) -> JobIdentity:
        """Returns the identity of the job: a session of its role."""
        return self._identify(self.job_keys)

    def admin_identity(self) -> JobIdentity:
        """Returns an identity that may do everything in the job's account, as who deploys a job."""
        return self._identify(self.admin_keys)

    def _identify(self, keys: JobKeys) -> JobIdentity:
        return JobIdentity(
            self.region,
            keys=Keys(keys.access_key, keys.secret_key, keys.token),
            endpoints={"": self.endpoint},
        )

    def put_objects(self, puts: Mapping[S3Uri, Path]) -> None:
        """Adds objects from files, each as the administrator of its bucket's account.

        Raises UsageError if there is no such bucket or a file cannot be read, SandboxError.
        """
        with (
            contextlib.closing(AdminClients(self.endpoint, self.region)) as clients,
            report_failures(),
        ):
            owners = {
                bucket["Name"]: account
                for account in (self.accounts if puts else ())
                for bucket in clients.client("s3", account).list_buckets()["Buckets"]
            }
            for uri, path in puts.items():
                if uri.bucket not in owners:
                    raise UsageError(
                        f"--put: the sandbox has no bucket '{uri.bucket}'"
                        + format_suggestion(uri.bucket, sorted(owners))
                    )
                clients.client("s3", owners[uri.bucket]).put_object(
                    Bucket=uri.bucket, Key=uri.key, Body=path.read_bytes()
                )

    def is_current(self) -> bool:
        """Returns True if neither the spec nor the sandbox file has changed since it started."""
        return self.fingerprint == _make_fingerprint(self.spec, self.file)


def find_running_sandbox(spec: str, env: str = "") -> Optional[RunningSandbox]:
    """Returns the sandbox that ``rolerunner sandbox SPEC`` serves, or None if it does not run.

    ``spec`` is the path or s3:// URI as the user gave it; ``env`` its environment.
    Raises SandboxError if others can write to the folder of these files.
    """
    path = _find_file(spec, env)
    if not path.parent.exists():
        return None
    _require_private(path.parent)
    found = _read_file(path)
    if found is None:
        return None
    if not _is_alive(found):
        path.unlink(missing_ok=True)
        path.with_suffix(".config").unlink(missing_ok=True)
        return None
    return found if ask_name(found.endpoint) == found.server else None


@contextlib.contextmanager
def publish_sandbox(
    sandbox: Sandbox,
    spec: str,
    file: Optional[Path],
    roles: Mapping[str, Role],
    env: str = "",
) -> Iterator[RunningSandbox]:
    """Lets other commands find the sandbox inside the block. Raises SandboxError.

    ``file`` is its sandbox file; None if its contents were derived from the spec. ``roles`` are
    those of the spec, by alias, in the environment ``env``.
    """
    path = _find_file(spec, env)
    config = path.with_suffix(".config")
    place, contents = _resolve_spec(spec), str(file.resolve()) if file else ""
    running = RunningSandbox(
        spec=place,
        file=contents,
        fingerprint=_make_fingerprint(place, contents),
        endpoint=sandbox.endpoint,
        region=sandbox.region,
        job_role=sandbox.job_role,
        job_keys=sandbox.job_keys,
        admin_keys=sandbox.get_admin_keys(),
        accounts=sandbox.accounts,
        config_file=str(config),
        server=sandbox.server.name,
        pid=os.getpid(),
        started=_find_start_time(os.getpid()),
    )
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _require_private(path.parent)
        write_file(config, render_profiles(roles, sandbox.region).encode(), private=True)
        write_file(path, json.dumps(asdict(running)).encode(), private=True)
    except (OSError, LocalFileFailed) as error:
        raise SandboxError(
            f"the sandbox cannot be made known to other commands: {error}; "
            "set TMPDIR to a writable folder"
        ) from None
    try:
        yield running
    finally:
        if _read_file(path) == running:  # not the files of a later process
            path.unlink(missing_ok=True)
            config.unlink(missing_ok=True)


def _find_file(spec: str, env: str) -> Path:
    folder = Path(tempfile.gettempdir(), f"rolerunner-sandboxes-{os.geteuid()}")
    place = f"{_resolve_spec(spec)}\0{env}" if env else _resolve_spec(spec)
    return folder / f"{sha256(os.fsencode(place)).hexdigest()[:32]}.json"


def _resolve_spec(spec: str) -> str:
    return spec if spec.startswith("s3://") else str(Path(spec).resolve())


def _make_fingerprint(*paths: str) -> str:
    digest = sha256()
    for path in paths:
        with contextlib.suppress(OSError):  # a spec in S3, or one that is gone
            digest.update(Path(path).read_bytes() if path else b"")
        digest.update(b"\0")
    return digest.hexdigest()


def _require_private(folder: Path) -> None:
    status = folder.lstat()
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.geteuid()
        or stat.S_IMODE(status.st_mode) & 0o077
    ):
        raise SandboxError(
            f"{folder} is not a folder that only you can read: remove it, or set TMPDIR to another "
            "folder"
        )


def _read_file(path: Path) -> Optional[RunningSandbox]:
    """Returns a sandbox's file; None if there is none, or another version wrote it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        job_keys, admin_keys = (
            JobKeys(**values.pop("job_keys")),
            JobKeys(**values.pop("admin_keys")),
        )
        values["accounts"] = tuple(values["accounts"])
        return RunningSandbox(**values, job_keys=job_keys, admin_keys=admin_keys)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


def _is_alive(found: RunningSandbox) -> bool:
    try:
        os.kill(found.pid, 0)
    except OSError:
        return False
    return _find_start_time(found.pid) == found.started


def _find_start_time(pid: int) -> str:
    """Returns the start time of a process in clock ticks since boot; "" where /proc has none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return status.rpartition(")")[2].split()[_START_TIME]


_START_TIME = 19
"""Index of the start time among the fields after a process's name: field 22 of proc(5)."""
