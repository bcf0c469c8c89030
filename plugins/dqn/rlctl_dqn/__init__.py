"""rlctl's own DQN. Nothing is imported here: `plugin` has the descriptor, `worker` the training loop."""
