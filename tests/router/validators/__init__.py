"""Tests of router/validators."""
