"""Benchmarks: every number beside a floor that is measured in the same run. `make benchmarks` runs them."""
