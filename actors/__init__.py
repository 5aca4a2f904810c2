"""What trades: the actors, their messages, and the pure logic that decides."""
