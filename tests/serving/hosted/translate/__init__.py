"""Tests of the translation between the two wire formats."""
