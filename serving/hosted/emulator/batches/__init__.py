"""Message batches: their life cycle, on the emulator's clock."""
