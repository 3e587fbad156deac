"""Tests of the emulator's message batches."""
