"""Pure logic: (state, input, now) -> (state, decision). No threads, no sockets, no clock, no randomness in here."""
