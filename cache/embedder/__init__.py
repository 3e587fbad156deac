"""Texts as vectors: what the semantic cache searches and the router may read."""
