"""The hosted half of batches: lines that go to providers' batch endpoints."""
