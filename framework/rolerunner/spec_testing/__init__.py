"""Runs the cases of test files, each in a fresh sandbox, and checks their expectations."""
