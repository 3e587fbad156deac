"""Tests of lines that go to providers' batch endpoints."""
