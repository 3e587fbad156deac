"""Tests of the whole stack on Ray Serve."""
