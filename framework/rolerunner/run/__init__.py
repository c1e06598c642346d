"""Runs a plan: the order of steps, attempts, state, result."""
