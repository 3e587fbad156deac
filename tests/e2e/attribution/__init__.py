"""A stream of requests with levers switched on and off, and what became of the money."""
