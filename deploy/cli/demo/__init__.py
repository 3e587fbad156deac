"""`stepwell demo`: the mock stack, traffic of its own making, and what came of it."""
