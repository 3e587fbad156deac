"""Tests of the vLLM engine that need no vLLM."""
