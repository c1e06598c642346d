"""The Glue entry script, for Python Shell and Spark jobs alike: --job_spec s3://bucket/job.yaml, other arguments are params."""

import sys

from rolerunner.glue.entry import main

if __name__ == "__main__":
    main(sys.argv)
