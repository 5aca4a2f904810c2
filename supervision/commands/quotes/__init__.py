"""The `quotes` command: a live view of quotes and indicators, for people, for logs and for machines.

It stands on the facade like any orchestrator (D18), in a process of its own that only reads: no journal and no lock, no
sender of orders, a client id of its own. So it runs beside a process that trades.
"""
