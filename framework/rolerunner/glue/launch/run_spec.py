"""The Glue entry script, for Python Shell and Spark jobs alike: --job_spec s3://bucket/job.yaml, other arguments are params."""

import gc
import sys

if __name__ == "__main__":
    gc.disable()  # until the first step: nearly all that is made before it stays, and garbage would be looked for among it
    from rolerunner.glue.launch.entry import main

    main(sys.argv)
