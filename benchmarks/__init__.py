"""Measurements of rlctl against doing the same by hand: `make bench`, or `python -m benchmarks startup sb3 cleanrl`."""
