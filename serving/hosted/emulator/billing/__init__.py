"""What the emulator bills, by its own reading of the published prices."""
