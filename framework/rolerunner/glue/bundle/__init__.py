"""Builds the files that a Glue job needs to start without internet access."""
