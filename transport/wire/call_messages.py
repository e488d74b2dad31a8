"""Messages between two people's programs, on the control stream of their end-to-end connection.

The callee (QUIC server) opens with :class:`Hello`; the caller answers with :class:`Prove`; the callee with
:class:`Proven`. Before that nothing else is believed by either side (DESIGN D9). The relay sees none of it.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from transport.wire import codec
from transport.wire.relay_messages import CallId, Certificate, Key, Nonce, Port, Signature, Text

PEER_ALPN = "segue-call/1"
PEER_VERSION = 1
# The relay's, and as many direct ones as a side keeps (transport.path.manager).
MAX_PATHS_REPORTED = 5

Count = Annotated[int, Meta(ge=0, lt=2**53)]
Milliseconds = Annotated[float, Meta(ge=0, le=600_000)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Round = Annotated[int, Meta(ge=0, lt=2**16)]
"""Number of a traversal round, growing over the whole call."""
IceChars = Annotated[str, Meta(min_length=4, max_length=64, pattern=r"^[A-Za-z0-9+/]+\Z")]
"""A user name fragment (RFC 8445 §5.3)."""
IcePassword = Annotated[str, Meta(min_length=22, max_length=64, pattern=r"^[A-Za-z0-9+/]+\Z")]
MAX_CANDIDATES = 32
# Of one counter. More leave nothing to predict: five ports pass while one packet leaves.
MAX_CROSS_TRAFFIC_PER_S = 1_000


class CallMessage(Struct, frozen=True, tag=True, omit_defaults=True):
    """Base of all peer control messages; the tag is the class name."""


class Hello(CallMessage, frozen=True):
    """Callee: prove who you are by signing ``nonce``."""

    version: int
    nonce: Nonce


class Prove(CallMessage, frozen=True):
    """Caller: ``signature`` is over :func:`transport.identity.statements.call_statement`. ``home`` is an address that
    older versions send; nobody reads it."""

    version: int
    call_id: CallId
    key: Key
    certificate: Certificate
    signature: Signature
    home: Annotated[str, Meta(max_length=400)] = ""


class Proven(CallMessage, frozen=True):
    """Callee: you are who you say; from now on messages count. ``home`` as in :class:`Prove`."""

    home: Annotated[str, Meta(max_length=400)] = ""


class Accept(CallMessage, frozen=True):
    """Callee: the call is taken; audio follows at once."""


class Bye(CallMessage, frozen=True):
    """Either side: the call is over."""

    reason: Literal["hung-up", "declined", "busy", "failed"] = "hung-up"
    text: Text = ""


class Muted(CallMessage, frozen=True):
    """Either side: my microphone is off, or on again."""

    muted: bool


class ReceiverReport(CallMessage, frozen=True):
    """What I hear of you, each second (RFC 3550 §6.4.1 in spirit): for your bitrate and your panel."""

    frames_received: Count
    frames_lost: Count
    loss: Fraction
    """Share of the frames lost since the last report."""
    jitter_ms: Milliseconds
    playout_delay_ms: Milliseconds


class PathInUse(CallMessage, frozen=True):
    """I now send on this path (the other direction may differ)."""

    kind: Literal["relay", "direct"]


class WireCandidate(Struct, frozen=True):
    """A candidate (RFC 8445 §5.1). The relay is none. Peer-reflexive ones are found, never signalled."""

    kind: Literal["host", "server-reflexive", "mapped"]
    ip: Annotated[str, Meta(min_length=2, max_length=45)]
    port: Port
    priority: Annotated[int, Meta(gt=0, lt=2**31)]
    foundation: Annotated[str, Meta(max_length=32)] = ""


class WireProfile(Struct, frozen=True):
    """How my NAT behaves, without any address (RFC 4787 §4–§5). ``delta`` is the step of a sequential allocation,
    ``cross_traffic_per_s`` how many flows of other people it counts, ``block`` the number of ports that a block
    allocation was seen to spread over. ``try_harder``: whoever is here wants what takes minutes, and many ports, tried
    as well."""

    mapping: Literal["none", "endpoint-independent", "address-dependent", "address-and-port-dependent", "unknown"]
    filtering: Literal["endpoint-independent", "address-dependent", "address-and-port-dependent", "unknown"]
    allocation: Literal["preserving", "sequential", "random", "block", "unknown"]
    delta: Annotated[int, Meta(ge=-1024, le=1024)] = 0
    cross_traffic_per_s: Annotated[int, Meta(ge=0, le=MAX_CROSS_TRAFFIC_PER_S)] | None = field(
        default=None, name="strangers_per_s"
    )
    block: Annotated[int, Meta(ge=0, le=65536)] = 0
    udp_blocked: bool = False
    try_harder: bool = False


class OfRound(CallMessage, frozen=True):
    """About one round of the traversal."""

    round: Round


class Candidates(OfRound, frozen=True):
    """Where I can perhaps be reached in this round, and what a connectivity check to me must be made with. Another
    message of the same round adds to the one before."""

    ufrag: IceChars
    password: IcePassword
    candidates: Annotated[list[WireCandidate], Meta(max_length=MAX_CANDIDATES)]
    profile: WireProfile | None = None

    def __repr__(self) -> str:
        return f"Candidates(round={self.round}, {len(self.candidates)} candidates, profile={self.profile})"


class Connect(OfRound, frozen=True):
    """Begin this round: gather, and answer at once with :class:`ConnectAck`, so that I know the round-trip time."""


class ConnectAck(OfRound, frozen=True):
    """The answer to :class:`Connect`."""


class Sync(OfRound, frozen=True):
    """Start the checks of this round now; I start half a round trip after I sent this."""


class PathCount(Struct, frozen=True, omit_defaults=True):
    """How media comes by one path. Paths have no common names: ``echo`` is the number of the newest echo request that
    came by this one, and who sent it knows where. ``frames`` of ``expected`` frames came since the call began."""

    echo: Count
    frames: Count
    expected: Count
    jitter_ms: Milliseconds
    behind_ms: Milliseconds
    """How much later than by the fastest path."""


class PathQuality(CallMessage, frozen=True):
    """How your media comes by each path, counted at one moment; several times a second while it comes by two. You
    decide with it. Sent as :class:`transport.wire.datagrams.UnreliableMessage`."""

    paths: Annotated[list[PathCount], Meta(max_length=MAX_PATHS_REPORTED)]


class PathSilent(CallMessage, frozen=True):
    """Nothing has come by that path for ``silent_ms``, and something should: send by another one as well.

    ``echo`` as in :class:`PathCount`. Repeated until something comes by the path, or it is given up. Sent as
    :class:`transport.wire.datagrams.UnreliableMessage`."""

    echo: Count
    silent_ms: Milliseconds


PeerMessage = (
    Hello
    | Prove
    | Proven
    | Accept
    | Bye
    | Muted
    | ReceiverReport
    | PathInUse
    | Candidates
    | Connect
    | ConnectAck
    | Sync
    | PathQuality
    | PathSilent
)

encode = codec.encode
decode = codec.MessageDecoder[PeerMessage](PeerMessage, "of a call").decode
