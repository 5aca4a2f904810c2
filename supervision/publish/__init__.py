"""Quotes for other programs: the newest of each contract in a cache, every update in a sink (MKT-9)."""
