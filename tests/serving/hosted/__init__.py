"""Tests of the hosted adapters and of the emulator."""
