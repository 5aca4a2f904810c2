"""The orchestrator's side: `IBKRGateway` and its parts."""
