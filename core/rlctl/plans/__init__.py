"""Plans: many runs, evaluations, comparisons and scripts that depend on each other, as one file; docs/plans.md."""
