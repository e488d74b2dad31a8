"""Wire formats. Every parser raises :class:`WireError` and nothing else, whatever bytes it is given.

On a socket, :mod:`~transport.wire.demux` tells STUN (:mod:`~transport.wire.stun`) from QUIC by the first byte. Inside
QUIC, streams are cut into documents by :mod:`~transport.wire.framing`, and a document is a message of one union
(:mod:`~transport.wire.codec`): between a client and its relay :mod:`~transport.wire.relay_messages`, between the two
ends of a call :mod:`~transport.wire.call_messages`. Media, echoes and reports about paths travel in datagrams
(:mod:`~transport.wire.datagrams`). People and relays as text are :mod:`~transport.wire.addresses`.
"""

from transport.wire.errors import WireError

__all__ = ["WireError"]
