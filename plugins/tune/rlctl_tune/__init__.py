"""rlctl's sweeps. Nothing is imported here: `plugin` brings the command, which imports Optuna when it is called."""
