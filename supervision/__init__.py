"""What keeps the tree alive and runs it. The public names load lazily, so that the simulator can start alone."""
