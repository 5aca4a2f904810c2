"""Random operations in proof mode: everything that can be asked of orders, while everything fails (ORD, STC, RSK-4)."""
