"""Tests of `stepwell batch`."""
