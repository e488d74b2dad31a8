"""QUIC, of two kinds: the connection of a call, and the control channel to a relay. Only this package imports aioquic.

**A call**: :class:`~transport.quic.call_connection.PeerConnection` takes UDP payloads from the path manager and gives
back control bytes, media datagrams and UDP payloads to send. ``admission`` decides at the callee which first packets
may become a connection; ``congestion`` is the controller that never delays voice.

**A relay**::

    client                                                  relay
    relay_session         log in, ping, back off, resume    relay.router
        | messages                                              | messages
    relay_channel_client  verify the relay's certificate    relay_channel_server  Retry, one channel per connection
        |                                                       |
    relay_channel         one QUIC stream, framed messages, the same at both ends

``relay_session`` takes the events in ``session_events`` (sockets, messages to send, changes of network) and returns
commands. All modules are machines without I/O but for ``ControlServer``, which runs listeners on asyncio;
:mod:`transport.io.relay_session` runs a session.
"""
