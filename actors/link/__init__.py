"""The link: the one connection to the gateway, and the only home of ib_insync (D8).

``actor`` is its face and owns three parts: ``sessions`` opens and ends the connection, ``requests`` asks on behalf of
others, ``order_entry`` takes orders through the ``order_gate`` onto the wire. ``session`` is one connection, ``client``
and ``decoder`` make the library strict, ``wrapper`` takes in what the gateway says, ``translation`` makes values of it.
"""

from actors.link.library import load

load()
