"""Tests of tiers in other processes."""
