"""What outlives the process: the order journal and its lock."""
