"""One call as one machine: packets of sockets in, media and messages of a proven peer out, and back.

:class:`~transport.link.link.Link` takes the events in :mod:`~transport.link.events` and returns the commands there; a
runner (:mod:`transport.io.runner`, or the simulator's) carries them out. Inside, plain calls:

- in: ``DatagramReceived`` → :mod:`~transport.link.routes`, which classifies it once and finds the owner of its socket
  (the relay leg, a direct path, or the traversal agent) → :mod:`transport.path`, which drops copies → QUIC in
  :mod:`~transport.link.channel` → flows and messages → ``MediaReceived``, ``PeerMessageReceived``;
- out: ``SendMedia``, ``SendPeerMessage`` → channel → :mod:`transport.path`, which sends each packet on the paths that
  carry the call → ``SendDatagram``.

Before both sides have passed the proof in :mod:`~transport.link.handshake` nothing of the peer is believed, and the
traversal agent sends it nothing. The end is always one ``LinkEnded``, by which every socket is closed.
"""
