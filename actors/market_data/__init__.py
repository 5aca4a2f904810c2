"""The market-data actor's room: subscribers, feeds, bars, indicators, failover to the second source."""
