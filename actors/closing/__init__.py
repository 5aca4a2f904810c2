"""What brings positions to zero on behalf of an actor: Strategy C and the position actor each own one (RULES 2)."""
