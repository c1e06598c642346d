"""Runs a spec inside a Glue job: its arguments, its runtime, the entry script."""
