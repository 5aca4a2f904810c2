"""The kernel: supervised actors, their mailboxes and addresses, and the clock. It imports nothing of ours."""
