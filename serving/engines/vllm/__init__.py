"""vLLM behind the waist: what it is asked, how its answers come back, and what fits a GPU."""
