"""rolerunner: YAML job specs whose steps each run under their own IAM role."""

from rolerunner._version import __version__
from rolerunner.api import load, plan, run

__all__ = ["__version__", "load", "plan", "run"]
