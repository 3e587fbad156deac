"""Tests on real engines: vLLM on Ray Serve, on a CPU. `make test-engine` has what they need."""
