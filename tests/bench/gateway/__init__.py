"""What the gateway adds to a request, beside another proxy on the same machine."""
