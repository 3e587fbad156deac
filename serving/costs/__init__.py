"""Prices, token estimates, the ledger and the metering of every attempt."""
