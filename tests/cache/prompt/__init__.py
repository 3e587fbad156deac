"""Tests of prompt-cache planning."""
