"""Tests at the HTTP level."""
