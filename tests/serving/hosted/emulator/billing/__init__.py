"""Tests of what the emulator bills."""
