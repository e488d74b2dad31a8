"""Looks for a direct path while the relay carries the call. Pure: no sockets, no clock.

From the outside in::

    ladder       phases in their order, back-off, stopping; what the link talks to
    punch        one phase: its rounds, each with fresh sockets, fresh STUN and re-sent candidates
    round        one round: gather -> exchange -> (sync) -> checks
    sync         when both sides start (DESIGN D5)        reflexive   STUN questions from one socket
    checks       connectivity checks of one round         keys        what a check must prove
    candidates   addresses, priorities, what may be asked budget      packets that may be sent
    nat_profile  what the answers say about our NAT       outlook     which pairs of NATs can succeed
    profiler     asks for the profile, by itself

Nothing that does not authenticate moves any state here, and what a peer can make us send is counted (``budget``).
"""
