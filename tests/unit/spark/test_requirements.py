from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import pytest

from rolerunner.spark.requirements import explain_misfit, find_java, find_obstacle

EARLY, LATE = "pip install 'pyspark>=3.5,<4'", "pip install 'pyspark>=4.1'"
JAVA = "Java 17 or newer"


@pytest.mark.parametrize(
    ("python", "pyspark", "java"),
    [
        ((3, 9), "3.5.6", 8),
        ((3, 11), "3.5.6", 11),
        ((3, 11), "3.5.6", 17),
        ((3, 10), "3.3.0", 8),
        ((3, 9), "3.1.2", 11),
        ((3, 9), "4.0.1", 17),
        ((3, 13), "4.0.1.dev0", 21),
        ((3, 14), "4.1.1", 17),
        ((3, 13), "5.0.0", 25),
        ((3, 13), "", None),
    ],
)
def test_versions_that_run_together(
    python: tuple[int, int], pyspark: str, java: Optional[int]
) -> None:
    assert explain_misfit(python, pyspark, java) == ""


@pytest.mark.parametrize(
    ("python", "pyspark", "java", "message"),
    [
        ((3, 11), None, 17, f"pyspark is not installed: {EARLY}"),
        ((3, 11), None, 21, f"pyspark is not installed: {LATE}"),
        (
            (3, 11),
            None,
            None,
            f"pyspark is not installed: {EARLY}, and Java 8, 11 or 17 (no Java is there)",
        ),
        (
            (3, 13),
            None,
            11,
            f"pyspark is not installed: {LATE}, and Java 17 or newer (Java 11 is there)",
        ),
        ((3, 12), "3.5.6", 17, f"pyspark 3.5.6 does not run on Python 3.12: {LATE}"),
        (
            (3, 12),
            "3.5.6",
            8,
            f"pyspark 3.5.6 does not run on Python 3.12: {LATE}, and {JAVA} (Java 8 is there)",
        ),
        ((3, 9), "4.1.1", 17, f"pyspark 4.1.1 does not run on Python 3.9: {EARLY}"),
        ((3, 11), "3.3.0", 17, f"pyspark 3.3.0 does not run on Python 3.11: {EARLY}"),
        ((3, 11), "3.5.6", None, "there is no Java for pyspark 3.5.6: install Java 8, 11 or 17"),
        (
            (3, 11),
            "3.5.6",
            21,
            "pyspark 3.5.6 does not run on Java 21: set JAVA_HOME to Java 8, 11 or 17",
        ),
        (
            (3, 13),
            "4.1.1",
            11,
            "pyspark 4.1.1 does not run on Java 11: set JAVA_HOME to Java 17 or newer",
        ),
        (
            (3, 9),
            "2.4.8",
            17,
            "pyspark 2.4.8 does not run on Java 17: set JAVA_HOME to Java 8 or 11",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_what_to_install(
    python: tuple[int, int], pyspark: Optional[str], java: Optional[int], message: str
) -> None:
    assert explain_misfit(python, pyspark, java) == message


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ('openjdk version "17.0.9" 2023-10-17', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("no version at all", None),
    ],
)
def test_java_is_the_one_of_java_home(
    shown: str, version: Optional[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{shown}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == version


def test_a_java_that_fails_or_is_missing_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() is None
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() is None
    java = tmp_path / "java"  # macOS has one that only tells where to get Java
    java.write_text("#!/bin/sh\necho 'Unable to locate a Java Runtime.' >&2\nexit 1\n")
    java.chmod(0o755)
    assert find_java() is None


def test_the_obstacle_is_that_of_this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    find_obstacle.cache_clear()
    assert find_obstacle() == explain_misfit(sys.version_info[:2], None, find_java())
    find_obstacle.cache_clear()
