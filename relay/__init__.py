"""The relay: where people are found, and where every call begins.

Two small machines that share nothing but the names of calls (DESIGN D2)::

      control: QUIC, one stream                            media: plain UDP
    transport.quic.relay_channel                                 relay.sockets
            | documents                                         | datagrams
        relay.service ----- in one event loop: relay.server -----
            | events (relay.events)                             |
        relay.router   sessions and their proofs            relay.media_port   QUIC or STUN?
          |   |   |                                             |
          |   |   relay.call_table   invite, ring, answer, end   relay.legs   bind, forward, idle
          |   relay.directory   names, look-ups, presence       |
        relay.registry   name -> key           relay.limits   token buckets for both
            | StoreName / NameStored
        relay.store   SQLite in a thread, acknowledged after the commit

Everything below the driver is pure: a method takes an event and the time and returns commands.
``relay.service`` feeds events, carries commands out, and has one timer for the router and one for idle legs;
``relay.server`` opens the sockets (``relay.binding``), the store and the metrics around it. So all
rules are tested in virtual time: ``tests/unit/relay/test_router_machine.py`` throws every event at every
state.

**A session**: the relay opens the stream and sends a challenge; the client signs it (bound to this relay's
certificate, so that no other relay can use it) and is welcome under its key. Names are only where keys are found. The
newest session of a key replaces the one before, because after a change of networks the older one is dead.

**A call** belongs to two keys, not to two sessions. Its two legs are granted with the invitation, so the end-to-end
handshake runs while the phone rings. Unanswered, it survives the loss of a session for ten seconds; answered, for as
long as its legs carry packets. Busy is decided by the callee's program, never here.

**A leg** is bound to an address by a Binding request that proves the leg's password, and by nothing else. Datagrams
whose first byte is at least 0x40 pass unchanged from one bound address to the other; the relay holds no key that could
open them. The legs outlast the call by a few seconds, so that the encrypted goodbyes arrive.

**What a stranger can cause** is bounded everywhere: sessions, proofs, registrations, look-ups, invitations and STUN
answers by token buckets in a table of fixed size; calls per caller, per callee and in all; packets per leg by a rate;
packets that wait for a leg by eight; bytes per session by :mod:`transport.quic.relay_channel`. Whoever goes over a
limit learns which one and when to come back.

**Stopping**: a signal drains. Every client is notified, new calls are refused, running ones keep their legs until
they end or the drain time does. A second signal stops at once.

Start one with :func:`relay.server.run_relay`, or hold a :class:`relay.server.Relay` in a test.
"""
