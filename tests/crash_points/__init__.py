"""Crash at the n-th step, for every n (ORD-9): we are killed at each write and each message, and started anew."""
