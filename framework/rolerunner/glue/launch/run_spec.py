"""The Glue entry script for Python Shell and Spark jobs.

It takes --job_spec s3://bucket/job.yaml; other arguments are params.
"""

import gc
import os
import sys
from pathlib import Path


def put_installation_first() -> None:
    """Moves the folder of the installed wheels to the front of ``sys.path`` in Python Shell.

    Glue puts it behind the packages of the runtime, some of which are too old for ours. On Spark,
    pip replaces those packages, and the folder also holds modules of Spark.
    """
    if os.environ.get("GLUE_COMMAND_CRITERIA") == "glueetl":
        return
    for folder in (os.environ.get("GLUE_INSTALLATION", ""), *sys.path):
        if folder and Path(folder, "rolerunner", "__init__.py").is_file():
            sys.path[:] = [folder, *(each for each in sys.path if each != folder)]
            return


if __name__ == "__main__":
    # until the first step, since nearly everything allocated before it stays in use
    gc.disable()
    put_installation_first()
    from rolerunner.glue.entry import main

    main(sys.argv)
