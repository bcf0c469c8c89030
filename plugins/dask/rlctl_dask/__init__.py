"""rlctl on Dask: an executor that places runs on the workers of a cluster."""
