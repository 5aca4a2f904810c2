"""Five rules bought with real failures, each with its regression test."""
