"""Work that can wait: files, batches, and the worker that answers their lines."""
