"""A real HTTP server that speaks Anthropic's Messages API and refuses what the real one refuses."""
