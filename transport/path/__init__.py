"""Several paths under one connection: which exist, which carry the next packet, and how one takes over (DESIGN §7).

:class:`~transport.path.paths.Multipath` is the package's border. It owns the sockets of the paths, hands the link above
what only the link can do (:mod:`~transport.path.events`), and calls:

- :mod:`~transport.path.relay_leg`: binds the relay leg by STUN and keeps it bound;
- :mod:`~transport.path.manager`: the state of each :mod:`~transport.path.path` and which carry
  (:mod:`~transport.path.schedule`). It calls a path silent (:mod:`~transport.path.liveness`), has what was lost sent
  again, and lets a better path take over after :mod:`~transport.path.evaluator` has measured it by the rules in
  :mod:`~transport.path.selector`;
- :mod:`~transport.path.retransmit`: recent packets, for sending again and for recognising copies;
- :mod:`~transport.path.probes`, :mod:`~transport.path.receiver_reports`: echo requests and reports between the two
  ends, which feed the measurements in :mod:`~transport.path.stats`.
"""
