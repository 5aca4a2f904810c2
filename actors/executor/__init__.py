"""The executor's room: the road of an order, changes, broker reports, recovery."""
