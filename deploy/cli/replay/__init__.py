"""Sends recorded requests to an endpoint and counts what became of them."""
