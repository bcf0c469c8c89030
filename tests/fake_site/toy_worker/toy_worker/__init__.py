"""A worker for tests: pure Python, trains in milliseconds, and misbehaves in any way that its settings ask for."""
