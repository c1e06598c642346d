"""Cleaning a partner's orders: an example of a function for python.call."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.plugin import FunctionContext


def clean(context: FunctionContext, source: str, target: str) -> dict[str, Any]:
    """Cleans each ``*.csv.gz`` of ``source`` into ``target``.

    Drops repeated orders and orders without an amount.
    """
    seen: set[str] = set()
    kept = dropped = 0
    Path(target).mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(source).rglob("*.csv.gz")):
        rows = list(_rows(path))
        good = [row for row in rows if _is_new(row, seen)]
        _write(Path(target) / path.name[: -len(".gz")], good)
        kept, dropped = kept + len(good), dropped + len(rows) - len(good)
        context.log(f"cleaned {path.name}", kept=len(good), dropped=len(rows) - len(good))
    return {"kept": kept, "dropped": dropped}


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _is_new(row: dict[str, str], seen: set[str]) -> bool:
    if not row["amount"] or row["order_id"] in seen:
        return False
    seen.add(row["order_id"])
    return True


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, ["order_id", "customer", "country", "amount", "currency"])
        writer.writeheader()
        writer.writerows({**row, "country": row["country"].upper()} for row in rows)
