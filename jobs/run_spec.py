"""The Glue entry script for Python Shell and Spark jobs.

It takes --job_spec s3://bucket/job.yaml; other arguments are params.
"""

import gc
import sys

if __name__ == "__main__":
    # until the first step, since nearly everything allocated before it stays in use
    gc.disable()
    from rolerunner.glue.entry import main

    main(sys.argv)
