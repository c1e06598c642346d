"""The state of a run key: what earlier runs completed, and the lock that one run holds."""
