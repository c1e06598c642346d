"""``python -m rolerunner`` and the console command."""

import atexit
import gc
import os
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
    except KeyboardInterrupt:
        sys.exit(130)  # there is nothing to stop yet
    gc.freeze()  # nor when the process ends
    if run_command_line():
        _exit_at_once()


def _exit_at_once() -> None:
    """Ends the process without freeing its objects, which takes a twentieth of a short run."""
    from rolerunner.observers.streams import flush_standard_streams  # noqa: PLC0415 - it is loaded

    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does; it has no public name
    flush_standard_streams()
    os._exit(0)


if __name__ == "__main__":
    main()
