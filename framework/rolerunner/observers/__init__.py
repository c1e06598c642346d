"""Observers of a run: log, terminal, result file, report."""
