"""Who listens to a run: the log, the terminal, the result file."""
