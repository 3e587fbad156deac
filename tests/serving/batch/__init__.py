"""Tests of work that can wait."""
