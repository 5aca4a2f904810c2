"""Frozen values and enums: what the messages carry and the logic works on."""
