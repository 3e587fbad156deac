"""OpenAI's Responses: requests as chats, completions and chunks as responses and their events."""
