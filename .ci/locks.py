"""Pins rolerunner's dependencies for each interpreter that Glue has: `make locks`.

Those of the extra ``fast`` are among them, since every bundle has it.
Writes the files of framework/rolerunner/glue/bundle/locks.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path

from rolerunner.common.extras import read_requirements
from rolerunner.glue.bundle.locked_wheels import LOCKS, normalize_name, parse_name, parse_version
from rolerunner.glue.bundle.runtime_packages import BOTO3_PACKAGES
from rolerunner.glue.bundle.wheel_tools import download_wheels, resolve_requirements
from rolerunner.glue.launch.runtime import RUNTIMES


def format_pin(wheel: Path) -> str:
    """Returns NAME==VERSION, the hash of the wheel, and the wheel's name."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirement = f"{parse_name(wheel)}=={parse_version(wheel)}"
    return f"{requirement} --hash=sha256:{digest}  # {wheel.name}"


def main() -> None:
    """Writes one file for each interpreter."""
    wanted = list(read_requirements("fast"))
    wanted += [
        each
        for each in requires("rolerunner") or ()
        if "extra ==" not in each
        and normalize_name(re.split(r"[^\w.-]", each)[0]) not in BOTO3_PACKAGES
    ]
    for runtime in {each.tag: each for each in RUNTIMES.values()}.values():
        with tempfile.TemporaryDirectory() as folder:
            pinned = re.split(r"\n(?=\S)", resolve_requirements(wanted, runtime).strip())
            fetched = download_wheels(pinned, runtime, Path(folder))
            lines = [format_pin(path) for path in fetched]
        (LOCKS / f"{runtime.tag}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        sys.stdout.write(f"{runtime.tag}: {len(lines)} wheels\n")


if __name__ == "__main__":
    main()
