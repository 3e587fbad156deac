"""Pairs that are made to mislead a cosine."""
