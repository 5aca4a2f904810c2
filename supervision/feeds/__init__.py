"""The second source of market data: Alpha Vantage, and the actor that asks it (MKT-10)."""
