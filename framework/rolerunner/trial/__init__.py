"""Runs of a spec in a fresh sandbox each, held against what a test file expects."""
