"""The import that entry scripts of Glue jobs rely on: its name stays, wherever the code moves."""

from rolerunner.glue.launch.entry import main

__all__ = ["main"]
