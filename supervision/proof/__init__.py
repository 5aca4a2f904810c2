"""Proof mode: the same tree on one seeded loop in virtual time."""
