"""The ground under all machines: what a machine is, and what it says about sockets. Imports nothing of Segue.

A machine decides and has no I/O: :class:`~transport.net.machine.Machine` takes an event and returns commands. A runner
(:mod:`transport.io.runner`, or the simulator's) carries out those of :mod:`~transport.net.sockets`, feeds their results
back as events, and keeps one timer for :class:`~transport.net.machine.TimerFired`. Beside them stand
:mod:`~transport.net.port_mapping`, a port that a router maps, and :mod:`~transport.net.token_bucket`, which every rate
limit uses.
"""
