"""Looks for a direct path while the relay carries the call. Pure: no sockets, no clock.

What comes in and goes out: the link gives the agent :mod:`~transport.traversal.events` (the peer is proven, a message
of the peer, a datagram on a socket of ours, a timer) and carries out its commands (open, close, send, send to the peer,
a path was found).

From the outside in::

    agent              when an attempt begins, back-off, stopping; what the link talks to
    attempt            the techniques that run at the same time, and which of them wins
    technique          one technique's rounds one after the other, and what has become of it
      hole_punch         up to four rounds; what STUN shows becomes our NAT's profile
      probe_technique    prediction, birthday, blocks; one per host at a time
    round              one try: sockets, credentials, STUN, candidates, checks, its end
      punch_round        all candidates; checks at once, or on both sides at one instant
      probe_round        many ports of one host: port_prediction, birthday, block_search
    context            what all of them share: NAT profiles, limits, hints
    sockets            the one table socket -> owner
    relay_guard        whether the relay leg suffers from what we send

One connectivity check, out::

    timer or event -> agent.TraversalAgent.handle -> attempt -> technique -> Round.timer
    ice.checklist.CheckList.timer      picks the pair that is due, takes a packet from the round's PacketBudget
                                       (which asks the HostLimits), signs the check with ice.credentials.CheckKeys
    round.Round._carry_out             hands it to
    sockets.SocketTable.send           which appends it to the agent's commands if the socket is still ours
    link                               takes the agent's commands; io sends the datagram

One connectivity check, in, and its answer::

    io -> link                         sees STUN in the first byte, on a socket that is not the relay's
    agent.TraversalAgent.handle        finds the owner of the socket in the table
    round.Round.received               a STUN client's answer? otherwise
    ice.checklist.CheckList.received   user name, HMAC, copy from elsewhere; answers, and checks back (triggered)
    round.Round._carry_out             sends both by the table; a chosen pair is DirectFound for its technique,
                                       attempt and agent

So a check passes three machines each way: check list, round, agent. The socket of a pair that was chosen is handed over
to the path manager, and keeps its owner, so that later checks of the peer are answered there until the path is closed.

Nothing that does not authenticate moves any state here, and what a peer can make us send is counted
(:mod:`transport.ice.pacing`).
"""
