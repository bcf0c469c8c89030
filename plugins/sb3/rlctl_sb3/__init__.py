"""Stable-Baselines3 for rlctl. Nothing is imported here: `plugin` has the descriptor, `worker` the training."""
