"""Tests of prices, estimates, the ledger and the report."""
