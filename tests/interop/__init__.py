"""The simulated gateway used by client libraries that nobody here wrote."""
