"""The mutual proof of a call (DESIGN D9): Hello, Prove, Proven, and nothing else before it.

TLS has proven the callee to the caller, whose only trust anchor is the callee's certificate. The caller proves
itself by signing the callee's fresh nonce together with that certificate's fingerprint and the call's identifier.
"""

import hashlib
import hmac
import random
from dataclasses import dataclass
from enum import Enum

from transport.identity import IdentityError
from transport.identity.keys import Identity, certificate_key, verify
from transport.identity.statements import call_statement
from transport.link.events import LinkConfig
from transport.quic.call_connection import PeerConnection
from transport.wire.call_messages import PEER_VERSION, Hello, PeerMessage, Prove, Proven, encode
from transport.wire.framing import frame

TOKEN_BYTES = 16
NONCE_BYTES = 32


def admission_token(call_id: str) -> bytes:
    """What the caller's first packets carry: both sides and their relay can make it, and nobody else.

    It is no proof of anything; it keeps those out who know the callee's address and nothing of the call.
    """
    return hashlib.sha256(b"segue-admission/1\n" + call_id.encode()).digest()[:TOKEN_BYTES]


class ProofState(Enum):
    """Where the proof stands."""

    HELLO = "hello"
    """Caller: nothing has come yet."""
    PROVE = "prove"
    """Callee: has sent its hello, waits for the signature."""
    PROVEN = "proven"
    """Caller: has signed, waits for the callee's confirmation."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProofStep:
    """What follows from one message of the peer: a reply to send, the proof, or a fault that ends the call."""

    reply: PeerMessage | None = None
    proven: bool = False
    fault: str = ""


class CallerProof:
    """The caller's part."""

    __slots__ = ("_call_id", "_callee_certificate", "_identity", "state")

    def __init__(self, identity: Identity, callee_certificate: bytes, call_id: str) -> None:
        self._identity = identity
        self._callee_certificate = callee_certificate
        self._call_id = call_id
        self.state = ProofState.HELLO

    def received(self, message: PeerMessage) -> ProofStep:
        """Take one message of the callee; never raises."""
        match self.state, message:
            case ProofState.HELLO, Hello(version, nonce) if version == PEER_VERSION:
                self.state = ProofState.PROVEN
                statement = call_statement(nonce, self._callee_certificate, self._call_id)
                return ProofStep(
                    Prove(
                        version=PEER_VERSION,
                        call_id=self._call_id,
                        key=self._identity.key,
                        certificate=self._identity.certificate,
                        signature=self._identity.sign(statement),
                    )
                )
            case ProofState.PROVEN, Proven():
                self.state = ProofState.DONE
                return ProofStep(proven=True)
        is_other_version = self.state is ProofState.HELLO and isinstance(message, Hello)
        self.state = ProofState.FAILED
        return ProofStep(fault=_OTHER_VERSION if is_other_version else _out_of_turn(message))


class CalleeProof:
    """The callee's part. ``nonce`` is 32 fresh random bytes, used in this call only."""

    __slots__ = ("_call_id", "_certificate", "_nonce", "_peer_key", "state")

    def __init__(self, certificate: bytes, nonce: bytes, peer_key: bytes, call_id: str) -> None:
        self._certificate = certificate
        self._nonce = nonce
        self._peer_key = peer_key
        self._call_id = call_id
        self.state = ProofState.PROVE

    def hello(self) -> Hello:
        """The callee's first message."""
        return Hello(version=PEER_VERSION, nonce=self._nonce)

    def received(self, message: PeerMessage) -> ProofStep:
        """Take one message of the caller; never raises."""
        if self.state is not ProofState.PROVE or not isinstance(message, Prove):
            fault = _out_of_turn(message)
        elif message.version != PEER_VERSION:
            fault = _OTHER_VERSION
        else:
            fault = self._fault(message)
        self.state = ProofState.FAILED if fault else ProofState.DONE
        return ProofStep(fault=fault) if fault else ProofStep(Proven(), proven=True)

    def _fault(self, message: Prove) -> str:
        try:
            in_certificate = certificate_key(message.certificate)
        except IdentityError as error:
            return str(error)
        if not hmac.compare_digest(message.key, self._peer_key):
            return "the caller's key is not the one that the relay announced"
        if not hmac.compare_digest(in_certificate, message.key):
            return "the caller's certificate belongs to another key"
        if not hmac.compare_digest(message.call_id, self._call_id):
            return "the caller's proof is for another call"
        if not verify(message.key, call_statement(self._nonce, self._certificate, self._call_id), message.signature):
            return "the caller's signature does not verify"
        return ""


Proof = CallerProof | CalleeProof
_OTHER_VERSION = "the other side speaks another version of this protocol"


def _out_of_turn(message: PeerMessage) -> str:
    return f"the other side sent {type(message).__name__} out of turn"


def begin(config: LinkConfig, rng: random.Random) -> tuple[PeerConnection, Proof]:
    """The connection of a call and our part of its proof. Raises :class:`IdentityError` for a certificate that is none,
    or is not the peer's."""
    token = admission_token(config.call_id)
    if not hmac.compare_digest(certificate_key(config.peer_certificate), config.peer_key):
        raise IdentityError("the certificate belongs to another key than the expected one")
    if config.role == "caller":
        proof = CallerProof(config.identity, config.peer_certificate, config.call_id)
        return PeerConnection.caller(config.peer_certificate, token, config.cpu), proof
    nonce = rng.randbytes(NONCE_BYTES)
    callee = CalleeProof(config.identity.certificate, nonce, config.peer_key, config.call_id)
    greeting = frame(encode(callee.hello()))
    return PeerConnection.callee(config.identity, token, greeting, config.cpu), callee
