"""``python -m rolerunner`` and the console command."""

import atexit
import gc
import sys

_GARBAGE = 10_000
"""Objects made beyond those that went, after which garbage is looked for: at Python's 700 that is a fifteenth of a transfer's CPU time."""


def main() -> None:
    """Run the command, or say how to get it where the extra is not installed."""
    gc.disable()  # nearly all that imports make stays: to look for garbage among it takes a sixth of the start
    try:
        from rolerunner.cli import command  # noqa: PLC0415 - the command line is an extra
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write(f"rolerunner: the command line needs '{error.name}': pip install 'rolerunner[cli]'\n")
        sys.exit(2)
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    gc.enable()
    atexit.register(gc.freeze)  # the process ends anyway: to look for garbage once more takes as long as five hundred small objects
    command()


if __name__ == "__main__":
    main()
