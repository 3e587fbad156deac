"""Kinds of vector index behind one protocol."""
