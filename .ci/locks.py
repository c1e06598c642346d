"""Writes framework/rolerunner/glue/bundle/locks anew: rolerunner's own dependencies for each interpreter that Glue has. make locks"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path

from rolerunner.glue.bundle import wheels
from rolerunner.glue.launch.runtime import RUNTIMES


def main() -> None:
    """One file an interpreter: NAME==VERSION, the hash of its wheel, and the wheel's name."""
    wanted = [
        each
        for each in requires("rolerunner") or ()
        if "extra ==" not in each
        and wheels.normalize_name(re.split(r"[^\w.-]", each)[0]) not in wheels.RUNTIME_PACKAGES
    ]
    for runtime in {each.tag: each for each in RUNTIMES.values()}.values():
        with tempfile.TemporaryDirectory() as folder:
            pinned = re.split(r"\n(?=\S)", wheels.resolve_requirements(wanted, (), runtime).strip())
            fetched = wheels.download_wheels(pinned, runtime, Path(folder))
            lines = [
                f"{wheels.parse_name(path)}=={wheels.parse_version(path)} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}  # {path.name}"
                for path in fetched
            ]
        (wheels.LOCKS / f"{runtime.tag}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        sys.stdout.write(f"{runtime.tag}: {len(lines)} wheels\n")


if __name__ == "__main__":
    main()
