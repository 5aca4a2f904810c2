"""Strategy C, the supervisor's arm: stop opening risk, cancel, liquidate, prove flat."""
