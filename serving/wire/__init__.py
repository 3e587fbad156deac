"""OpenAI's wire format: requests, completions, chunks and server-sent events."""
