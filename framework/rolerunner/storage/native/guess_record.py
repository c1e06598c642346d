"""Learns where the ranges of a listing have keys, so that few requests find none."""

from __future__ import annotations

_WORST_CHARACTER, _WORST_PLACE = -2, -8
"""Balances of good and bad guesses at which no more are made: of a character at a place, and of a
place.
"""
_GOOD_GUESS = 2
"""Bad guesses that a good one makes up for."""


class GuessRecord:
    """Learns which guesses are good: in folders alike they are so at the same places of the keys.

    ``dt=2026-02-4`` is likely to have no more keys than ``dt=2026-01-4`` had, and a folder whose
    files fit into a page is not split at any place of their names.
    """

    def __init__(self) -> None:
        self._balances: dict[tuple[int, str], int] = {}
        """By the length of points, and by length and last character: good guesses less bad ones."""

    def add_range(self, point: str, *, is_empty: bool) -> None:
        """Records whether keys followed a point within its range."""
        for guess, worst in self._list_guesses(point):
            balance = self._balances.get(guess, 0) + (-1 if is_empty else _GOOD_GUESS)
            self._balances[guess] = max(worst, min(balance, -worst))

    def is_likely(self, point: str) -> bool:
        """Returns False for a point like those that no keys followed."""
        return all(
            self._balances.get(guess, 0) > worst for guess, worst in self._list_guesses(point)
        )

    def _list_guesses(self, point: str) -> tuple[tuple[tuple[int, str], int], ...]:
        """Returns what a point has in common with others, and the worst balance of each."""
        length = len(point)
        return (((length, point[-1:]), _WORST_CHARACTER), ((length, ""), _WORST_PLACE))
