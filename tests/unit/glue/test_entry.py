"""The import that deployed entry scripts rely on."""

from pathlib import Path

from rolerunner.glue import entry
from rolerunner.glue.launch.entry import main

SCRIPT = Path(__file__).parents[3] / "jobs" / "run_spec.py"


def test_entry_scripts_import_main_from_where_it_stays() -> None:
    assert entry.main is main
    assert "from rolerunner.glue.entry import main" in SCRIPT.read_text()
