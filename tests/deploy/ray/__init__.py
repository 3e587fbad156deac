"""Tests of the wiring on Ray that need no Ray."""
