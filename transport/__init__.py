"""Carries sealed packets between two people: identity, relay control, paths, and the link of a call.

The data path through this package, outermost first::

    link  ->  quic.peer  ->  path.manager  ->  io.driver  ->  UDP

``wire`` holds the formats, ``identity`` the keys, ``portmap`` and ``traverse`` look for a direct path. All of
these decide without I/O (see :mod:`transport.net.machine`); ``io`` alone owns sockets and the event loop.
"""
