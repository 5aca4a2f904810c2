"""The position actor's room: what is held, what it is worth, and its closing."""
