"""`runtime: ray`: the same stack on Ray Serve."""
