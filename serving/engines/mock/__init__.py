"""The mock engine: seeded competence, latency, logprobs and faults; all of it is simulated."""
