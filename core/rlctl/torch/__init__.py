"""Kit for backends that train with PyTorch (extra `rlctl[torch]`)."""
