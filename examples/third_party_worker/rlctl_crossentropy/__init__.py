"""The cross-entropy method for rlctl. Nothing is imported here: `plugin` declares the worker, `worker` trains."""
