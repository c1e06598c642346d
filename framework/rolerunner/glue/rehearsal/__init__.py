"""Rehearses a Glue job on this machine: the runtime's packages, its installer and its launcher."""
