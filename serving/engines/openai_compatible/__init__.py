"""Any OpenAI-compatible server as a tier, through the `openai` SDK."""
