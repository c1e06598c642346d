"""Calls over many objects, spread over the machines of a cluster."""
