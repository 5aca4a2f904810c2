"""The supervisor and what it needs: child specs, restart policy, driver, timer. Imports the kernel only."""
