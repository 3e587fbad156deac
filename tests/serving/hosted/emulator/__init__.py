"""Tests of the emulated Messages API."""
