"""The database: one schema, its migrations and the engine that reaches it."""
