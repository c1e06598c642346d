"""Profiles the CPU time of a run, thread by thread, and groups functions by component."""

from __future__ import annotations

import cProfile
import json
import pstats
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import null_server
from measure import environment_of, table
from tools import KEYS, Place, rolerunner_command
from works import SMALL, Work

BUILD = Path(__file__).parents[1] / "build/bench"
WORKS = (Work("download-small", "download", 3_000, SMALL), Work("list", "list", 50_000, SMALL))
TOP = 12
# The first pattern that matches a function's file, or a built-in's name, decides the group.
GROUPS = {
    r"rolerunner/selection/(manifest|inventory)": "lists on disk",
    r"rolerunner/(selection|common)/": "local files, choosing objects",
    r"rolerunner/storage/": "the engine",
    r"rolerunner/actions/": "actions",
    r"rolerunner/(events|run|observers)": "runner, events, log",
    r"rolerunner/": "rolerunner, the rest",
    r"botocore|boto3|s3transfer": "botocore",
    r"urllib3|/http/|/ssl\.py|_ssl|SSL": "HTTP, TLS",
    r"/socket|/selectors|_socket|select\.epoll|poll": "sockets",
    r"hashlib|hmac|zlib|crc|sha256": "hashes and checksums",
    r"/json/|_json": "JSON",
    r"marshal|importlib|builtins\.(exec|compile|__import__|__build_class__)": "imports",
    r"posix\.|_io\.|/pathlib|/posixpath|/tempfile|/genericpath|<frozen (posixpath|os)": "files",
    r"/threading|/concurrent/|/queue|_thread|_queue": "threads and queues",
}


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    null_server.build(BUILD)
    print(
        "CPU time by component, and the functions with the most CPU time. The profiler adds time "
        "to each call, so frequent calls appear more expensive than they are.\n"
    )
    with null_server.serving(BUILD, null_server.TLS) as server:
        for work in WORKS:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                place = Place(server, folder, folder / "target", folder)
                (command, _) = rolerunner_command("fast")(work, place)
                told = subprocess.run(
                    [sys.executable, __file__, command[2]], check=True, capture_output=True,
                    text=True, cwd=folder,
                    env=environment_of({**KEYS, **place.environment}),
                )  # fmt: skip
            _print(work, json.loads(told.stdout.splitlines()[-1]))


def _print(work: Work, told: dict[str, Any]) -> None:
    total = sum(told["groups"].values())
    print(
        f"**{work.title[0].upper()}{work.title[1:]}**, TLS"
        + (f"; {told['children']:.1f} s more in child processes" if told["children"] > 0.1 else "")
        + "\n"
    )
    print(
        table(
            ["where", "% of CPU time"],
            [
                (group, f"{spent / total * 100:.0f}")
                for group, spent in told["groups"].items()
                if spent / total >= 0.01
            ],
        )
    )
    print(
        table(
            ["function", "calls", "% of CPU time"],
            [
                (f"`{name}`", f"{calls:,}", f"{spent / total * 100:.0f}")
                for name, calls, spent in told["top"]
            ],
        )
    )


def child(spec: str) -> None:
    """Runs a spec and prints, as JSON, the profiles of its threads."""
    profiles: list[cProfile.Profile] = []

    def begin(*_: object) -> None:
        sys.setprofile(None)
        profiles.append(cProfile.Profile(time.thread_time))
        profiles[-1].enable()

    threading.setprofile(begin)
    begin()
    from rolerunner import api

    result = api.run(api.load(spec))
    threading.setprofile(None)
    for profile in profiles:
        profile.disable()
    if result.status != "succeeded":
        raise SystemExit(f"{result}")
    print(json.dumps(_gathered(profiles)))


def _gathered(profiles: list[cProfile.Profile]) -> dict[str, Any]:
    stats = pstats.Stats(profiles[0])
    for profile in profiles[1:]:
        stats.add(profile)
    functions = stats.stats  # type: ignore[attr-defined]
    groups: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in functions.items():
        if _group(function) or not callers:
            groups[_group(function) or "the rest"] += own
            continue
        for caller, (_, _, share, _) in callers.items():  # what belongs to nobody is the caller's
            groups[_group(caller) or "the rest"] += share
    top = sorted(
        ((function, calls, own) for function, (_, calls, own, _, _) in functions.items()),
        key=lambda each: each[2],
        reverse=True,
    )[:TOP]
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "groups": dict(groups.most_common()),
        "top": [
            (name if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{name}", calls, own)
            for (file, _, name), calls, own in top
        ],
        "children": children.ru_utime + children.ru_stime,
    }


def _group(function: tuple[str, int, str]) -> str:
    text = function[0] if function[0] != "~" else function[2]
    return next((group for pattern, group in GROUPS.items() if re.search(pattern, text)), "")


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
