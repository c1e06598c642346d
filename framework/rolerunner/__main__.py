"""``python -m rolerunner`` and the console command."""

import gc
import sys


def main() -> None:
    """Runs the command; without the extra, prints how to install it."""
    gc.disable()  # imports create objects that stay: collections cost a sixth of the start
    try:
        from rolerunner.cli import run_command_line  # noqa: PLC0415 - the command line is an extra
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write(
            f"rolerunner: the command line needs '{error.name}': pip install 'rolerunner[cli]'\n"
        )
        sys.exit(2)
    gc.freeze()  # nor when the process ends
    run_command_line()


if __name__ == "__main__":
    main()
