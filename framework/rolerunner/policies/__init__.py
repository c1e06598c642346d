"""Least-privilege policies made from a plan: rendered, compared with those in force, and probed."""
