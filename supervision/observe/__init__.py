"""What the process tells about itself: the event log."""
