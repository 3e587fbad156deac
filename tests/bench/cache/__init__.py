"""Benchmarks of the semantic cache."""
