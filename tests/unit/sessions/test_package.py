from __future__ import annotations

from pathlib import Path

import rolerunner

ROOT = Path(rolerunner.__file__).parent


def test_only_sessions_and_the_sandbox_touch_botocores_sessions() -> None:
    importers = {
        path.relative_to(ROOT).parts[0]
        for path in ROOT.rglob("*.py")
        if "import botocore.session" in path.read_text(encoding="utf-8")
    }
    assert importers == {"sessions", "sandbox"}
