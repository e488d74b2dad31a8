"""Connectivity checks and what they need (RFC 8445, RFC 8489). Pure: no sockets, no clock.

Parts that a round of :mod:`transport.traversal` puts together; each is called, and returns what is to be sent.

In this order::

    candidates     our addresses and their priorities; which of the peer's may be sent to at all
    stun_client    STUN requests from one socket to several servers: what each sees as our address
    credentials    user name fragment and password of one round; makes and verifies checks
    start_sync     Connect, ConnectAck, Sync: one instant for both sides, from the round trip over the relay
    pairs          a socket and a remote address; when it is checked
    checklist      all pairs of a round: scheduled and triggered checks, answers, nomination
    pacing         what may be sent: PacketBudget of a round, HostLimits of all calls of a host

In: candidates and credentials of the peer, STUN packets, time. Out: datagrams, and the pair that both sides have chosen
(``PairChosen``), with keys that go on proving who asks and answers there.
"""
