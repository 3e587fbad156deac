"""Wiring, configs and the command line."""
