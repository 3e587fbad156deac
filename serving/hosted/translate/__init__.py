"""Pure translation between OpenAI's and Anthropic's wire formats."""
