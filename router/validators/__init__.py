"""Deterministic checks of an answer."""
