"""Carries out a plan: order of the steps, attempts, state, result."""
