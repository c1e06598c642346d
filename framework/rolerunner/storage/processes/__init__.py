"""Other processes of this machine that take a share of an operation: one thread of Python uses one core."""
