"""The connection actor's room: attempts, heartbeat, proof of data, maintenance, reconciliation."""
