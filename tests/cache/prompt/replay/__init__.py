"""Tests of cache/prompt/replay."""
