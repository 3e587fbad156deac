"""What hosted calls cost: the ledger beside arithmetic by hand and the emulator's own account."""
