"""Helpers without knowledge of AWS or of specs, which any package may use."""
