"""Tests of the OpenAI-compatible engine, against a real HTTP server."""
