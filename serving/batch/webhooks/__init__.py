"""Signed notices to clients that work of theirs has ended."""
