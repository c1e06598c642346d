"""Turns a job into a plan, which a dry run prints and a run carries out."""
