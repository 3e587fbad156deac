"""`stepwell batch`: sends a file of requests as one batch and brings back what became of them."""
