"""The spec language: text -> Job."""
