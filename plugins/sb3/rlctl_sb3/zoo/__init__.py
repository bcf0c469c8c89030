"""Reads what rl-zoo3 and plain scripts of SB3 have left, presets and trainings: as data, nothing is evaluated or unpickled."""
