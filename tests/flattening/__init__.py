"""Flattening under random brokers: ``python -m tests.flattening --seeds 10000``."""
