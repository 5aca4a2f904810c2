"""The link: the one connection to the gateway, and the only home of ib_insync (D8).

``actor`` is its face; ``client`` and ``decoder`` make the library strict, ``session`` is one connection, ``wrapper``
takes in what the gateway says, ``translation`` turns it into values, ``requests`` asks, ``orders`` writes orders.
"""
