"""The SparkSession, and what Java says when something fails."""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import sys
import threading
from typing import Any

from rolerunner.errors import StepError

_OPENING = threading.Lock()
SPARK_HINT = "it runs in a Spark job of Glue (glueetl), and on a laptop with pyspark and Java: pip install pyspark"


def get_session() -> Any:
    """The SparkSession: the one that is there, as in Glue, else a new one on this machine. Raises StepError where there is no Spark."""
    if importlib.util.find_spec("pyspark") is None:
        raise StepError("there is no Spark here", hint=SPARK_HINT, type="NoSpark")
    with _OPENING:
        return _session()


def _session() -> Any:
    from pyspark import SparkConf, SparkContext  # noqa: PLC0415 - a large library that few steps need
    from pyspark.sql import SparkSession  # noqa: PLC0415

    if SparkContext._active_spark_context is not None:  # noqa: SLF001 - the active session is another one in each thread
        return SparkSession.builder.getOrCreate()
    try:
        SparkContext._ensure_initialized()  # noqa: SLF001 - the JVM tells what spark-submit and its files have set
        conf = SparkConf()
        for name, value in _ON_A_LAPTOP.items():
            conf.setIfMissing(name, value)
        conf.set("spark.ui.showConsoleProgress", "false")  # the run shows its own
        made = SparkSession.builder.config(conf=conf).getOrCreate()
    except Exception as error:  # pyspark has no common error for a JVM that does not start
        raise StepError(
            f"Spark does not start: {find_reason(error)}",
            hint="it needs Java 8, 11 or 17: set JAVA_HOME",
            type="NoSpark",
        ) from error
    if conf.get("spark.master", "").startswith("local"):
        _make_at_home(made)
    return made


def _make_at_home(made: Any) -> None:
    """On a laptop: workers are this Python, not the first on the PATH, and Spark is quiet and ends with the process."""
    atexit.register(made.stop)
    made.sparkContext.setLogLevel(
        "FATAL"
    )  # what fails is said by the step, without ten pages of Java
    if "PYSPARK_PYTHON" not in os.environ:
        made.sparkContext.pythonExec = sys.executable


_ON_A_LAPTOP = {
    "spark.master": "local[*]",
    "spark.app.name": "rolerunner",
    "spark.ui.enabled": "false",
}


_CAUSES = (
    re.compile(r"^((?:[\w.]+\.)?\w*(?:Error|Exception)\b: .+)$", re.MULTILINE),
    re.compile(r"most recent failure: (.+)", re.IGNORECASE),
)


def find_reason(error: BaseException) -> str:
    """The line of a long Java error that says why."""
    java = getattr(error, "java_exception", None)
    text = str(java.getMessage() or java.toString()) if java is not None else str(error)
    lost = _CAUSES[1].search(text)
    python = _CAUSES[0].findall(text.partition("Driver stacktrace")[0])
    if python and "PythonException" in text:
        return str(python[-1])
    if lost:
        return lost.group(1)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
