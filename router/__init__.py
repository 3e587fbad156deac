"""Deciding which tier answers: task class, validators, confidence gate, cascade and spot checks."""
