"""Fault tests: the product survives, or it gets flat."""
