"""Measurements of work that can wait."""
