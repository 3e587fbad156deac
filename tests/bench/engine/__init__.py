"""vLLM behind Stepwell, beside bare vLLM and Ray's own OpenAI app."""
