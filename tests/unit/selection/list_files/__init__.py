"""Tests of the selection of objects and files."""
