"""The mutual proof of a call (DESIGN D9): Hello, Prove, Proven, and nothing else before it.

TLS has proven the callee to the caller, whose only trust anchor is the callee's certificate. The caller proves
itself by signing the callee's fresh nonce together with that certificate's fingerprint and the call's identifier.
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum

from transport.identity import IdentityError
from transport.identity.keys import Identity, certificate_key, verify
from transport.identity.statements import call_statement
from transport.wire.call_messages import PEER_VERSION, Hello, PeerMessage, Prove, Proven

TOKEN_BYTES = 16


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
    """Callee: said hello, waiting for the signature."""
    PROVEN = "proven"
    """Caller: signed, waiting for the callee's word."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Say:
    """Send this message."""

    message: PeerMessage


@dataclass(frozen=True, slots=True)
class Believe:
    """Both sides are who they say. ``peer_home`` is the other side's full address, as it says itself."""

    peer_home: str


@dataclass(frozen=True, slots=True)
class Disbelieve:
    """The proof failed: end the call."""

    text: str


ProofCommand = Say | Believe | Disbelieve


class CallerProof:
    """The caller's part."""

    __slots__ = ("_call_id", "_callee_certificate", "_home", "_identity", "state")

    def __init__(self, identity: Identity, callee_certificate: bytes, call_id: str, home: str) -> None:
        self._identity = identity
        self._callee_certificate = callee_certificate
        self._call_id = call_id
        self._home = home
        self.state = ProofState.HELLO

    def handle(self, message: PeerMessage) -> list[ProofCommand]:
        """Take one message of the callee; never raises."""
        match self.state, message:
            case ProofState.HELLO, Hello(version, nonce) if version == PEER_VERSION:
                self.state = ProofState.PROVEN
                statement = call_statement(nonce, self._callee_certificate, self._call_id)
                return [
                    Say(
                        Prove(
                            version=PEER_VERSION,
                            call_id=self._call_id,
                            key=self._identity.key,
                            certificate=self._identity.certificate,
                            signature=self._identity.sign(statement),
                            home=self._home,
                        )
                    )
                ]
            case ProofState.HELLO, Hello():
                self.state = ProofState.FAILED
                return [Disbelieve("the other side speaks another version of this protocol")]
            case ProofState.PROVEN, Proven(home):
                self.state = ProofState.DONE
                return [Believe(home)]
            case _:
                self.state = ProofState.FAILED
                return [Disbelieve(f"the other side said {type(message).__name__} before it was its turn")]


class CalleeProof:
    """The callee's part. ``nonce`` is 32 fresh random bytes, used in this call only."""

    __slots__ = ("_call_id", "_certificate", "_home", "_nonce", "_peer_key", "state")

    def __init__(self, certificate: bytes, nonce: bytes, peer_key: bytes, call_id: str, home: str) -> None:
        self._certificate = certificate
        self._nonce = nonce
        self._peer_key = peer_key
        self._call_id = call_id
        self._home = home
        self.state = ProofState.PROVE

    def hello(self) -> Hello:
        """What the callee says first."""
        return Hello(version=PEER_VERSION, nonce=self._nonce)

    def handle(self, message: PeerMessage) -> list[ProofCommand]:
        """Take one message of the caller; never raises."""
        if self.state is not ProofState.PROVE or not isinstance(message, Prove):
            self.state = ProofState.FAILED
            return [Disbelieve(f"the other side said {type(message).__name__} before it was its turn")]
        if message.version != PEER_VERSION:
            self.state = ProofState.FAILED
            return [Disbelieve("the other side speaks another version of this protocol")]
        fault = self._fault(message)
        if fault:
            self.state = ProofState.FAILED
            return [Disbelieve(fault)]
        self.state = ProofState.DONE
        return [Say(Proven(home=self._home)), Believe(message.home)]

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
