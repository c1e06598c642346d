"""Packages that a library imports and does not use are imported on first use, or not at all."""

from __future__ import annotations

import subprocess
import sys


def run_python(*lines: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True, text=True
    )
    return done.stdout


def test_structlog_comes_without_asyncio_and_its_awaited_loggers_still_work() -> None:
    printed = run_python(
        "import sys",
        "from rolerunner.observers import log",
        "print('asyncio' in sys.modules, 'rich' in sys.modules)",
        "import structlog, asyncio",
        "structlog.configure(processors=[structlog.processors.KeyValueRenderer()])",
        "asyncio.run(structlog.get_logger().ainfo('said', count=1))",
    )
    assert printed == "False False\ncount=1 event='said'\n"


def test_a_deferred_module_is_imported_by_its_first_use() -> None:
    printed = run_python(
        "import sys",
        "from rolerunner.common.deferred_imports import defer_import",
        "with defer_import('colorsys'):",
        "    import colorsys as deferred",
        "print('colorsys' in sys.modules)",
        "print(deferred.rgb_to_hsv(0, 0, 0), 'colorsys' in sys.modules)",
        "import colorsys",
        "print(colorsys is deferred, colorsys.rgb_to_hsv is deferred.rgb_to_hsv)",
    )
    assert printed == "False\n(0.0, 0.0, 0) True\nFalse True\n"


def test_a_deferred_function_is_imported_when_it_is_called() -> None:
    printed = run_python(
        "import sys",
        "from rolerunner.common.deferred_imports import defer_import",
        "with defer_import('colorsys', functions=('rgb_to_hsv',)):",
        "    from colorsys import rgb_to_hsv",
        "print('colorsys' in sys.modules)",
        "print(rgb_to_hsv(0, 0, b=0), 'colorsys' in sys.modules)",
    )
    assert printed == "False\n(0.0, 0.0, 0) True\n"


def test_what_is_imported_already_stays() -> None:
    printed = run_python(
        "import sys, colorsys",
        "from rolerunner.common.deferred_imports import defer_import, hide_package",
        "with defer_import('colorsys'), hide_package('colorsys'):",
        "    import colorsys as same",
        "print(same is colorsys is sys.modules['colorsys'])",
    )
    assert printed == "True\n"
