"""Tests of OpenAI's wire format."""
