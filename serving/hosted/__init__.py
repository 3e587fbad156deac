"""Hosted models: the Anthropic adapter, its translation and the emulator of its API."""
