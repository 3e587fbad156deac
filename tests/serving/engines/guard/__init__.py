"""Tests of what guards a tier."""
