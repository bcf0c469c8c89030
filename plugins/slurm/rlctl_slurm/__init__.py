"""rlctl on Slurm: an executor that submits runs as jobs, by Slurm's own programs."""
