"""Carries encrypted packets between two people. Knows nothing of audio.

A packet's way out, through the packages::

    link  ->  quic (encrypts)  ->  path (which paths carry it)  ->  io (UDP sockets)

and the same way in. ``traversal`` looks for direct paths with ``ice`` (candidates and checks), ``nat`` (how our NAT
behaves) and ``portmap`` (ports that routers map). ``wire`` holds the formats, ``identity`` the keys, ``net`` what all
machines have in common. All of these decide without I/O; ``io`` alone owns sockets and the event loop.
"""
