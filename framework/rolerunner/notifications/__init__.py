"""Tells topics, event buses, queues and webhooks how a run ended."""
