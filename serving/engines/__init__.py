"""Backends that run or reach open-weight models."""
