"""CleanRL's scripts for rlctl. Nothing is imported here: `plugin` has the descriptor, `worker` runs the scripts."""
