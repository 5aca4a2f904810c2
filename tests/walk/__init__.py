"""The product's first whole walk, proved through the facade against the simulated gateway."""
