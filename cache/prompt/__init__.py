"""Prompt caching at the provider: which prefixes are marked, for how long, and what came of it."""
